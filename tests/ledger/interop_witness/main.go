// Command interop_witness lets the libraries of others judge our witnesses' cosignatures, and cosigns with them.
//
// It reads one JSON object from stdin (Input) and writes one to stdout (Output). What those libraries refuse stands in
// Output.Refused, by library and by the name that the note has in the input; an error of this program itself ends it
// with status 1.
package main

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os"

	"filippo.io/torchwood"
	formats "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// Input is what we have made.
type Input struct {
	LogKey                  string // the log's verifier key
	WitnessKey, WitnessPriv string // a witness's, as we write them
	WitnessName             string // the same in parts, with the seed of 32 bytes
	Seed                    []byte
	Notes                   map[string]string
	Checkpoint              string // signed by the log alone, to be cosigned
}

// Judged is what a library says of a note: who has signed it, and when the witness says it was.
type Judged struct {
	Signers []string
	At      int64
}

// Output is what the others say of the notes, and what they make of the checkpoint; each by the library's name.
type Output struct {
	Judged   map[string]map[string]Judged
	Refused  map[string]map[string]string
	Cosigned map[string]string
	Keys     map[string]string
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var in Input
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		return err
	}
	log, err := note.NewVerifier(in.LogKey)
	if err != nil {
		return err
	}
	theirs, err := formats.NewVerifierForCosignatureV1(in.WitnessKey)
	if err != nil {
		return err
	}
	formatsSigner, err := formats.NewSignerForCosignatureV1(in.WitnessPriv)
	if err != nil {
		return err
	}
	torchwoodSigner, err := torchwood.NewCosignatureSigner(in.WitnessName, ed25519.NewKeyFromSeed(in.Seed))
	if err != nil {
		return err
	}
	out := Output{Judged: map[string]map[string]Judged{}, Refused: map[string]map[string]string{},
		Cosigned: map[string]string{}, Keys: map[string]string{"torchwood": torchwoodSigner.Verifier().String()}}
	libraries := map[string]note.Verifier{"formats": theirs, "torchwood": torchwoodSigner.Verifier()}
	signers := map[string]note.Signer{"formats": formatsSigner, "torchwood": torchwoodSigner}
	for library, witness := range libraries {
		out.Judged[library], out.Refused[library] = map[string]Judged{}, map[string]string{}
		for name, text := range in.Notes {
			judged, err := judge(text, log, witness)
			if err != nil {
				out.Refused[library][name] = err.Error()
				continue
			}
			out.Judged[library][name] = judged
		}
		opened, err := note.Open([]byte(in.Checkpoint), note.VerifierList(log))
		if err != nil {
			return err
		}
		cosigned, err := note.Sign(opened, signers[library])
		if err != nil {
			return err
		}
		out.Cosigned[library] = string(cosigned)
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// judge opens a note by the keys of the log and of the witness.
func judge(text string, log, witness note.Verifier) (Judged, error) {
	opened, err := note.Open([]byte(text), note.VerifierList(log, witness))
	if err != nil {
		return Judged{}, err
	}
	var judged Judged
	for _, signature := range opened.Sigs {
		judged.Signers = append(judged.Signers, signature.Name)
		if signature.Name != witness.Name() {
			continue
		}
		if judged.At, err = torchwood.CosignatureTimestamp(signature); err != nil {
			return Judged{}, err
		}
		at, err := formats.CoSigV1Timestamp(signature)
		if err != nil {
			return Judged{}, err
		}
		if at.Unix() != judged.At {
			return Judged{}, fmt.Errorf("they disagree about the time: %d and %d", at.Unix(), judged.At)
		}
	}
	return judged, nil
}
