package snapshotcodec

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Layout of the payload. FROZEN, see the package doc.
const (
	countSize = 2
	entrySize = 5
)

// entries are the data in ascending order of keys: order holds indices into
// the other two. Sorting small numbers is faster than sorting pairs of pointers,
// each move of which the garbage collector wants to know about.
type entries struct {
	keys   []string
	values [][]byte
	order  []uint16
}

// fill takes the data in and returns the size of the payload that it makes.
func (e *entries) fill(data map[string][]byte) (int64, error) {
	if err := checkKeyCount(len(data)); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	size := int64(countSize)
	for key, value := range data {
		if err := checkKey(key); err != nil {
			return 0, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		e.order = append(e.order, uint16(len(e.keys)))
		e.keys = append(e.keys, key)
		e.values = append(e.values, value)
		size += int64(entrySize + len(key) + len(value))
	}
	slices.SortFunc(e.order, func(a, b uint16) int { return strings.Compare(e.keys[a], e.keys[b]) })
	return size, nil
}

// reset lets go of the caller's data.
func (e *entries) reset() {
	clear(e.keys)
	clear(e.values)
	e.keys, e.values, e.order = e.keys[:0], e.values[:0], e.order[:0]
}

// tooLarge names the key that takes the most, for that is what the operator
// asks next.
func (e *entries) tooLarge(size, limit int64) error {
	largest := slices.MaxFunc(e.order, func(a, b uint16) int { return len(e.values[a]) - len(e.values[b]) })
	return fmt.Errorf("%d bytes of data, %d of them in %q, the limit is %d: %w",
		size, len(e.values[largest]), e.keys[largest], limit, handoff.ErrTooLarge)
}

// appendTo appends the payload before compression.
func (e *entries) appendTo(dst []byte, size int) []byte {
	dst = slices.Grow(dst, size)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(e.order)))
	for _, i := range e.order {
		dst = append(dst, byte(len(e.keys[i])))
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(e.values[i])))
	}
	for _, i := range e.order {
		dst = append(dst, e.keys[i]...)
	}
	for _, i := range e.order {
		dst = append(dst, e.values[i]...)
	}
	return dst
}

// readPayload returns the data. The values are parts of the payload, each with
// its capacity cut off, so that appending to one never reaches the next.
func readPayload(payload []byte) (map[string][]byte, error) {
	if len(payload) < countSize {
		return nil, fmt.Errorf("%w: %d bytes of payload", ErrStructure, len(payload))
	}
	count := int(binary.BigEndian.Uint16(payload))
	if err := checkKeyCount(count); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStructure, err)
	}
	table := payload[countSize:]
	if len(table) < count*entrySize {
		return nil, fmt.Errorf("%w: %d data keys in %d bytes of payload", ErrStructure, count, len(payload))
	}
	table, rest := table[:count*entrySize], table[count*entrySize:]
	keySize, valueSize := sumTable(table)
	if uint64(len(rest)) != keySize+valueSize {
		return nil, fmt.Errorf("%w: keys and values of %d bytes, %d are there", ErrStructure, keySize+valueSize, len(rest))
	}
	return readEntries(table, string(rest[:keySize]), rest[keySize:])
}

func sumTable(table []byte) (keys, values uint64) {
	for ; len(table) > 0; table = table[entrySize:] {
		keys += uint64(table[0])
		values += uint64(binary.BigEndian.Uint32(table[1:]))
	}
	return keys, values
}

// readEntries cuts keys and values as the table says, whose sums have been
// verified. All keys share one string: one allocation.
func readEntries(table []byte, keys string, values []byte) (map[string][]byte, error) {
	data := make(map[string][]byte, len(table)/entrySize)
	previous := ""
	for ; len(table) > 0; table = table[entrySize:] {
		keyLen, valueLen := int(table[0]), int(binary.BigEndian.Uint32(table[1:]))
		key := keys[:keyLen]
		if err := checkKey(key); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrStructure, err)
		}
		// Ascending order also means that no key is there twice.
		if key <= previous {
			return nil, fmt.Errorf("%w: data key %q after %q", ErrStructure, key, previous)
		}
		data[key] = values[:valueLen:valueLen]
		previous, keys, values = key, keys[keyLen:], values[valueLen:]
	}
	return data, nil
}
