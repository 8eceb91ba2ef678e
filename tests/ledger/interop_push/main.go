// Command interop_push speaks C2SP tlog-witness with our code, by transparency-dev's own witness and client.
//
//	interop_push serve LOG_VKEY WITNESS_PRIVATE_KEY   is their witness: prints its address, serves until its stdin ends
//	interop_push push URL                             is their client: submits the requests that stand on stdin, as
//	                                                  JSON, one after another, and prints what became of each
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"

	fnote "github.com/transparency-dev/formats/note"
	client "github.com/transparency-dev/witness/client/http"
	"github.com/transparency-dev/witness/persistence/inmemory"
	"github.com/transparency-dev/witness/witness"
	"golang.org/x/mod/sumdb/note"
)

// Request is one submission.
type Request struct {
	Old        uint64
	Checkpoint string
	Proof      [][]byte
}

// Answer is what the client makes of the answer to one: the signature lines, or the size and the error.
type Answer struct {
	Lines string
	Size  uint64
	Error string
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "serve":
		return serve(args[1], args[2])
	case len(args) == 2 && args[0] == "push":
		return push(args[1])
	}
	return errors.New("serve LOG_VKEY WITNESS_PRIVATE_KEY, or push URL")
}

func serve(logKey, privateKey string) error {
	log, err := note.NewVerifier(logKey)
	if err != nil {
		return err
	}
	signer, err := fnote.NewSignerForCosignatureV1(privateKey)
	if err != nil {
		return err
	}
	ctx := context.Background()
	one, err := witness.New(ctx, witness.Opts{
		Persistence: inmemory.New(),
		Signers:     []note.Signer{signer},
		VerifierForLog: func(_ context.Context, origin string) (note.Verifier, bool, error) {
			return log, origin == log.Name(), nil
		},
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", witness.NewHTTPHandler(one).AddCheckpoint)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Printf("http://%s\n", listener.Addr())
	return http.Serve(listener, mux)
}

func push(address string) error {
	where, err := url.Parse(address)
	if err != nil {
		return err
	}
	var requests []Request
	if err := json.NewDecoder(os.Stdin).Decode(&requests); err != nil {
		return err
	}
	to := client.NewWitness(where, http.DefaultClient)
	answers := []Answer{}
	for _, request := range requests {
		lines, size, err := to.Update(context.Background(), request.Old, []byte(request.Checkpoint), request.Proof)
		answer := Answer{Lines: string(lines), Size: size}
		if err != nil {
			answer.Error = err.Error()
		}
		answers = append(answers, answer)
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}
