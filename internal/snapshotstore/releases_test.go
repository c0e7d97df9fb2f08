package snapshotstore_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/snapshotstore"
)

// TestRaise: a file of the schema before keeps its snapshots and takes releases.
func TestRaise(t *testing.T) {
	store, path := newStore(t, snapshotstore.Config{})
	kept := newSnapshot(1, 1, 1, handoff.Version{Fence: 5, Sequence: 1})
	mustPut(t, store, kept)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	before := raw(t, path)
	for _, step := range []string{"DROP TABLE releases", "DELETE FROM goose_db_version WHERE version_id > 1"} {
		if _, err := before.ExecContext(t.Context(), step); err != nil {
			t.Fatal(err)
		}
	}
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	store = open(t, path, newCodec(t), snapshotstore.Config{Logger: hclog.New(&hclog.LoggerOptions{Output: &log})})
	defer func() { store.Close() }()
	if !strings.Contains(log.String(), "raised the schema") || !strings.Contains(log.String(), "from=1") {
		t.Errorf("logged %q, want the schema raised from 1", &log)
	}
	if got, err := store.Newest(t.Context(), kept.Player); err != nil || got.ID != kept.ID {
		t.Errorf("Newest() = %v, %v, want snapshot %s", got, err, kept.ID)
	}
	release := snapshotstore.Release{At: time.UnixMilli(1).UTC(), Player: kept.Player, Holder: "lobby", Fence: 5, Reason: "stuck"}
	if err := store.RecordRelease(t.Context(), release); err != nil {
		t.Fatal(err)
	}
	if got, err := store.Releases(t.Context(), kept.Player, 1); err != nil || len(got) != 1 || got[0] != release {
		t.Errorf("Releases() = %v, %v, want %v", got, err, release)
	}
	wantIntact(t, path)
}
