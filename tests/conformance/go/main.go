// Checks a log with Go's own packages: notes, inclusion and consistency proofs, tiles.
//
// Standard input is one JSON object, see the struct below. Standard output is "ok", or the first
// thing that does not hold, with exit status 1.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type input struct {
	VerifierKey string            `json:"verifier_key"`
	Origin      string            `json:"origin"`
	Notes       []string          `json:"notes"`   // signed checkpoints, oldest first
	Entries     map[string][]byte `json:"entries"` // entries by index
	Inclusion   []inclusion       `json:"inclusion"`
	Consistency []consistency     `json:"consistency"`
	Tiles       map[string][]byte `json:"tiles"` // of the newest checkpoint, by C2SP path
}

type inclusion struct {
	Index int64    `json:"index"`
	Note  int      `json:"note"`
	Proof [][]byte `json:"proof"`
}

type consistency struct {
	Old   int      `json:"old"`
	New   int      `json:"new"`
	Proof [][]byte `json:"proof"`
}

func main() {
	if err := run(os.Stdin); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ok")
}

func run(reader io.Reader) error {
	var in input
	if err := json.NewDecoder(reader).Decode(&in); err != nil {
		return err
	}
	var trees []tlog.Tree
	for number, text := range in.Notes {
		tree, err := openCheckpoint(in, text)
		if err != nil {
			return fmt.Errorf("note %d: %w", number, err)
		}
		trees = append(trees, tree)
	}
	for _, item := range in.Inclusion {
		leaf := tlog.RecordHash(in.Entries[strconv.FormatInt(item.Index, 10)])
		tree := trees[item.Note]
		if err := tlog.CheckRecord(hashes(item.Proof), tree.N, tree.Hash, item.Index, leaf); err != nil {
			return fmt.Errorf("inclusion of %d in %d: %w", item.Index, tree.N, err)
		}
	}
	for _, item := range in.Consistency {
		old, tree := trees[item.Old], trees[item.New]
		if err := tlog.CheckTree(hashes(item.Proof), tree.N, tree.Hash, old.N, old.Hash); err != nil {
			return fmt.Errorf("consistency of %d with %d: %w", old.N, tree.N, err)
		}
	}
	if len(in.Tiles) > 0 {
		return checkTiles(in, trees[len(trees)-1])
	}
	return nil
}

func openCheckpoint(in input, text string) (tlog.Tree, error) {
	verifier, err := note.NewVerifier(in.VerifierKey)
	if err != nil {
		return tlog.Tree{}, err
	}
	opened, err := note.Open([]byte(text), note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != in.Origin {
		return tlog.Tree{}, fmt.Errorf("not a checkpoint of %s", in.Origin)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

// checkTiles lets Go choose the tiles, reads every entry's hash by them and compares: the reader
// authenticates each tile against the root before it answers.
func checkTiles(in input, tree tlog.Tree) error {
	reader := tlog.TileHashReader(tree, tileReader{in.Tiles})
	for text, entry := range in.Entries {
		index, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return err
		}
		found, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
		if err != nil {
			return fmt.Errorf("entry %d by tiles: %w", index, err)
		}
		leaf := tlog.RecordHash(entry)
		if !bytes.Equal(found[0][:], leaf[:]) {
			return fmt.Errorf("entry %d by tiles: another hash", index)
		}
	}
	return nil
}

type tileReader struct{ tiles map[string][]byte }

func (tileReader) Height() int { return 8 }

func (reader tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		// Go's paths carry the height, which C2SP fixes and leaves out.
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		data, found := reader.tiles[path]
		if !found {
			return nil, fmt.Errorf("no tile %s", path)
		}
		all = append(all, data)
	}
	return all, nil
}

func (tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

func hashes(proof [][]byte) []tlog.Hash {
	all := make([]tlog.Hash, len(proof))
	for place, item := range proof {
		copy(all[place][:], item)
	}
	return all
}
