// Command interop lets the libraries of others judge our ledger, and makes with them what ours is to judge.
//
// It reads one JSON object from stdin (Input) and writes one to stdout (Output). Whatever those libraries refuse stands
// in Output.Refused, by the name that the case has in the input; an error of this program itself ends it with status 1.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Inclusion is a proof that a leaf is in a tree.
type Inclusion struct {
	Name        string
	Index, Size int64
	Leaf, Root  []byte
	Proof       [][]byte
}

// Consistency is a proof that a tree has grown to another one.
type Consistency struct {
	Name             string
	Old, New         int64
	OldRoot, NewRoot []byte
	Proof            [][]byte
}

// Input is what we have made.
type Input struct {
	VerifierKey, SignerKey string
	Notes                  map[string]string
	Text                   string // to be signed with SignerKey
	Inclusions             []Inclusion
	Consistencies          []Consistency
	Entries                [][]byte // of the log in Folder, all of them
	Folder                 string   // a log's files; its tree has Root
	Root                   []byte
}

// Output is what the others say of it, and what they make of Entries.
type Output struct {
	Refused       map[string]string
	Opened        map[string]string // notes, by name: their text
	Note          string
	Roots         [][]byte // by size
	Inclusions    []Inclusion
	Consistencies []Consistency
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
	out := Output{Refused: map[string]string{}, Opened: map[string]string{}}
	verifier, err := note.NewVerifier(in.VerifierKey)
	if err != nil {
		return err
	}
	for name, text := range in.Notes {
		opened, err := note.Open([]byte(text), note.VerifierList(verifier))
		if err != nil {
			out.Refused[name] = err.Error()
			continue
		}
		out.Opened[name] = opened.Text
	}
	signer, err := note.NewSigner(in.SignerKey)
	if err != nil {
		return err
	}
	signed, err := note.Sign(&note.Note{Text: in.Text}, signer)
	if err != nil {
		return err
	}
	out.Note = string(signed)
	for _, each := range in.Inclusions {
		judge(out.Refused, each.Name, checkInclusion(each))
	}
	for _, each := range in.Consistencies {
		judge(out.Refused, each.Name, checkConsistency(each))
	}
	if err := prove(in, &out); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// judge notes what the two libraries say of a case; they must agree.
func judge(refused map[string]string, name string, said [2]error) {
	if (said[0] == nil) != (said[1] == nil) {
		refused[name] = fmt.Sprintf("THEY DISAGREE: %v, %v", said[0], said[1])
	} else if said[0] != nil {
		refused[name] = said[0].Error()
	}
}

func checkInclusion(each Inclusion) [2]error {
	var hashes tlog.RecordProof
	for _, hash := range each.Proof {
		hashes = append(hashes, tlog.Hash(hash))
	}
	return [2]error{
		tlog.CheckRecord(hashes, each.Size, tlog.Hash(each.Root), each.Index, tlog.Hash(each.Leaf)),
		proof.VerifyInclusion(
			rfc6962.DefaultHasher, uint64(each.Index), uint64(each.Size), each.Leaf, each.Proof, each.Root),
	}
}

func checkConsistency(each Consistency) [2]error {
	var hashes tlog.TreeProof
	for _, hash := range each.Proof {
		hashes = append(hashes, tlog.Hash(hash))
	}
	return [2]error{
		tlog.CheckTree(hashes, each.New, tlog.Hash(each.NewRoot), each.Old, tlog.Hash(each.OldRoot)),
		proof.VerifyConsistency(
			rfc6962.DefaultHasher, uint64(each.Old), uint64(each.New), each.Proof, each.OldRoot, each.NewRoot),
	}
}

// tiles reads our files as tlog's own client reads those of Go's checksum database: it checks each against the root.
type tiles struct{ folder string }

func (tiles) Height() int { return 8 }

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		// tile.Path() is tile/<height>/<level>/<number>; C2SP's layout has no height.
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		data, err := os.ReadFile(filepath.Join(t.folder, path))
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// prove makes roots and proofs of Entries with tlog, on hashes of its own, and the same proofs from our tiles.
func prove(in Input, out *Output) error {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var hashes []tlog.Hash
		for _, index := range indexes {
			hashes = append(hashes, stored[index])
		}
		return hashes, nil
	})
	roots := [][]byte{}
	for number := int64(0); number <= int64(len(in.Entries)); number++ {
		root, err := tlog.TreeHash(number, reader)
		if err != nil {
			return err
		}
		if number == 0 {
			root = tlog.Hash(rfc6962.DefaultHasher.EmptyRoot()) // tlog has no empty tree
		}
		roots = append(roots, root[:])
		if number < int64(len(in.Entries)) {
			more, err := tlog.StoredHashes(number, in.Entries[number], reader)
			if err != nil {
				return err
			}
			stored = append(stored, more...)
		}
	}
	out.Roots = roots
	size := int64(len(in.Entries))
	ours := tlog.TileHashReader(tlog.Tree{N: size, Hash: tlog.Hash(in.Root)}, tiles{in.Folder})
	for index := int64(0); index < size; index += 1 + size/50 {
		hashes, err := tlog.ProveRecord(size, index, reader)
		if err != nil {
			return err
		}
		fromTiles, err := tlog.ProveRecord(size, index, ours)
		if err != nil || fmt.Sprint(fromTiles) != fmt.Sprint(hashes) {
			out.Refused[fmt.Sprintf("tiles, leaf %d", index)] = fmt.Sprint("another proof: ", err)
		}
		leaf := tlog.RecordHash(in.Entries[index])
		out.Inclusions = append(out.Inclusions, Inclusion{Index: index, Size: size, Leaf: leaf[:], Root: roots[size],
			Proof: slices(hashes)})
	}
	for old := int64(1); old <= size; old += 1 + size/50 {
		hashes, err := tlog.ProveTree(size, old, reader)
		if err != nil {
			return err
		}
		fromTiles, err := tlog.ProveTree(size, old, ours)
		if err != nil || fmt.Sprint(fromTiles) != fmt.Sprint(hashes) {
			out.Refused[fmt.Sprintf("tiles, from %d", old)] = fmt.Sprint("another proof: ", err)
		}
		out.Consistencies = append(out.Consistencies, Consistency{Old: old, New: size, OldRoot: roots[old],
			NewRoot: roots[size], Proof: slices(hashes)})
	}
	return nil
}

func slices(hashes []tlog.Hash) [][]byte {
	found := [][]byte{}
	for _, hash := range hashes {
		found = append(found, append([]byte{}, hash[:]...))
	}
	return found
}
