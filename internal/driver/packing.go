package driver

import (
	"errors"
	"fmt"

	"github.com/syncworker/syncworker/internal/handoff"
)

// errNoSnapshot is the error of a write without a snapshot: a bug of the
// machine.
var errNoSnapshot = errors.New("driver: no snapshot to pack")

// keptPacked is how many packed snapshots a player keeps: the one that Redis
// took and the database has not, and the one after it. With more on their way
// to a slow database, packing again is cheaper than the memory.
const keptPacked = 2

// packedSnapshots keeps the bytes that went to Redis for the database, which
// gets the same ones. They go when they are stored, and all of them when the
// player comes to rest.
type packedSnapshots [keptPacked]packedSnapshot

// packedSnapshot is named by ID and version, since the bytes hold both.
type packedSnapshot struct {
	id      handoff.SnapshotID
	version handoff.Version
	bytes   []byte
}

func (k *packedSnapshots) find(s *handoff.Snapshot) *packedSnapshot {
	for i := range k {
		if k[i].bytes != nil && k[i].id == s.ID && k[i].version == s.Version {
			return &k[i]
		}
	}
	return nil
}

// pack returns the snapshot's bytes, packed at most once while they are kept.
// It is called from a lane of the player, so the player's lanes exist.
func (d *Driver) pack(p *player, s *handoff.Snapshot) ([]byte, error) {
	if s == nil {
		return nil, errNoSnapshot
	}
	if bytes := p.keptBytes(s); bytes != nil {
		return bytes, nil
	}
	bytes, err := d.ports.Codec.Pack(s)
	if err != nil {
		return nil, fmt.Errorf("pack snapshot: %w", err)
	}
	p.keepBytes(s, bytes)
	return bytes, nil
}

func (p *player) keptBytes(s *handoff.Snapshot) []byte {
	p.shard.mu.Lock()
	defer p.shard.mu.Unlock()
	if kept := p.lanes.packed.find(s); kept != nil {
		return kept.bytes
	}
	return nil
}

func (p *player) keepBytes(s *handoff.Snapshot, bytes []byte) {
	p.shard.mu.Lock()
	defer p.shard.mu.Unlock()
	copy(p.lanes.packed[1:], p.lanes.packed[:])
	p.lanes.packed[0] = packedSnapshot{id: s.ID, version: s.Version, bytes: bytes}
}

// dropBytes forgets the bytes of a snapshot that is stored.
func (p *player) dropBytes(s *handoff.Snapshot) {
	p.shard.mu.Lock()
	defer p.shard.mu.Unlock()
	if kept := p.lanes.packed.find(s); kept != nil {
		*kept = packedSnapshot{}
	}
}
