package play

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// Keys of a player's data.
const (
	keyMark   = "chaos:mark"   // unique to each capture
	keyTokens = "chaos:tokens" // what is traded
	keyBag    = "chaos:bag"    // left out of captures while it has not changed
	keyExtra  = "chaos:extra"  // comes and goes, to test the removal of keys
)

// state is what a player has.
type state struct {
	tokens []string
	bag    string
	extra  string
}

func stateOf(data map[string][]byte) state {
	s := state{bag: string(data[keyBag]), extra: string(data[keyExtra])}
	if text := string(data[keyTokens]); text != "" {
		s.tokens = strings.Split(text, ",")
	}
	return s
}

// data is the state as a capture with a mark.
func (s state) data(mark string) map[string][]byte {
	data := map[string][]byte{
		keyMark:   []byte(mark),
		keyTokens: []byte(strings.Join(s.tokens, ",")),
		keyBag:    []byte(s.bag),
	}
	if s.extra != "" {
		data[keyExtra] = []byte(s.extra)
	}
	return data
}

// change alters what is not traded.
func (s *state) change(dice *rand.Rand) {
	switch dice.IntN(3) {
	case 0:
		bag := make([]byte, 32+dice.IntN(1500))
		for i := range bag {
			bag[i] = byte(dice.Uint32())
		}
		s.bag = string(bag)
	case 1:
		s.extra = fmt.Sprint("extra ", dice.Uint32())
	case 2:
		s.extra = ""
	}
}

// digest is a checksum of data.
func digest(data map[string][]byte) string {
	sum := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(data)) {
		_, _ = fmt.Fprintf(sum, "%q=%q\n", key, data[key]) // a hash takes everything
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}
