package redisstore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/keyspace"
	"github.com/syncworker/syncworker/internal/redisstore"
)

// The client library logs every connection that the tests break.
func init() { redis.SetLogger(silence{}) }

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// A server is what the scenarios run on: devredis, or with the build tag "real"
// a redis-server.
type server interface {
	// config reaches the server.
	config() redisstore.ClientConfig
	// restart makes it another process, with or without its data.
	restart(keepData bool)
}

// A scenario is a test that runs on both kinds of server.
type scenario struct {
	name string
	run  func(t *testing.T, r *rig)
}

// scenarios is every test that runs on both.
var scenarios = []scenario{
	{"claim table", testClaimTable},
	{"take over table", testTakeOverTable},
	{"update table", testUpdateTable},
	{"check in table", testCheckInTable},
	{"release table", testReleaseTable},
	{"resume table", testResumeTable},
	{"strict resume table", testStrictResumeTable},
	{"loading resume table", testLoadingResumeTable},
	{"sweep table", testSweepTable},
	{"unstored", testUnstored},
	{"petition", testPetition},
	{"one take-over wins", testOneTakeOverWins},
	{"resume or take over", testResumeOrTakeOver},
	{"list is refused to a take-over", testTakeOverListRefused},
	{"free table", testFreeTable},
	{"wrong types", testWrongTypes},
	{"no fence", testGarbageFence},
	{"quarantine", testQuarantine},
	{"expire", testExpire},
	{"inspect", testInspect},
	{"list", testList},
	{"list is refused", testListRefused},
	{"damaged update", testDamagedUpdate},
	{"fence follows the clock of redis", testFenceClock},
	{"late claims that list", testLateListing},
	{"clock jumps forward", testClockJumpsForward},
	{"clock runs away", testClockRuns},
	{"lease", testLease},
	{"swap lease", testSwapLease},
	{"check lease", testCheckLease},
	{"script flush", testScriptFlush},
	{"restart empty", testRestartEmpty},
	{"identity", testIdentity},
	{"identity of the subscriber", testIdentityPubSub},
	{"identity and a claim decided before", testIdentityOldDecision},
	{"T01 one claim wins", testOneClaimWins},
	{"T02 late release", testLateRelease},
	{"T03 late save", testLateSave},
	{"model", testModel},
}

// rig is one server and what a test needs around it.
type rig struct {
	t     testing.TB
	srv   server
	admin *redis.Client
	space keyspace.Space
	count atomic.Uint64
}

func newRig(t testing.TB, srv server) *rig {
	t.Helper()
	space, err := keyspace.New(keyspace.DefaultNamespace, "main")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, srv: srv, space: space}
	r.admin, _ = r.clients(redisstore.NewIdentity(redisstore.IdentityConfig{}))
	return r
}

// clients opens both clients until the end of the test.
func (r *rig) clients(identity *redisstore.Identity) (client, grants *redis.Client) {
	r.t.Helper()
	client, grants, err := redisstore.Open(r.srv.config(), identity)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := errors.Join(client.Close(), grants.Close()); err != nil {
			r.t.Errorf("close clients: %v", err)
		}
	})
	return client, grants
}

// store returns a worker's store whose claims are always allowed.
func (r *rig) store(id handoff.ServerID) *redisstore.Store {
	r.t.Helper()
	client, grants := r.clients(redisstore.NewIdentity(redisstore.IdentityConfig{}))
	return r.storeOn(id, client, grants)
}

func (r *rig) storeOn(id handoff.ServerID, client, grants redis.UniversalClient) *redisstore.Store {
	return redisstore.New(client, grants, plainCodec{}, redisstore.Config{
		Space:       r.space,
		Server:      id,
		UpdateTTL:   time.Hour,
		Incarnation: "start-of-" + string(id),
	})
}

// player returns one that no other test has.
func (r *rig) player() handoff.PlayerID {
	var p handoff.PlayerID
	binary.BigEndian.PutUint64(p[8:], r.count.Add(1))
	return p
}

// state is what the keys of a player hold; "" is an absent key.
type state struct {
	checkout, fence, update string
}

func (r *rig) keys(p handoff.PlayerID) [3]string {
	return [3]string{r.space.Checkout(p), r.space.Fence(p), r.space.Update(p)}
}

func (r *rig) put(p handoff.PlayerID, s state) {
	r.t.Helper()
	for i, value := range [3]string{s.checkout, s.fence, s.update} {
		err := r.admin.Set(context.Background(), r.keys(p)[i], value, 0).Err()
		if value == "" {
			err = r.admin.Del(context.Background(), r.keys(p)[i]).Err()
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *rig) get(p handoff.PlayerID) state {
	r.t.Helper()
	var values [3]string
	for i, key := range r.keys(p) {
		value, err := r.admin.Get(context.Background(), key).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			r.t.Fatal(err)
		}
		values[i] = value
	}
	return state{checkout: values[0], fence: values[1], update: values[2]}
}

// row is one row of a script's decision table: server "a" makes the call.
type row struct {
	name   string
	before state
	call   func(*redisstore.Store, handoff.PlayerID) string
	want   string
	after  state
}

func (r *rig) table(t *testing.T, rows []row) {
	t.Helper()
	a := r.store("a")
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			p := r.player()
			r.put(p, row.before.of(p))
			got := row.call(a, p)
			if got != row.want && (!strings.HasPrefix(row.want, "failed") || !strings.HasPrefix(got, row.want)) {
				t.Errorf("got %q, want %q", got, row.want)
			}
			if got, want := r.get(p), row.after.of(p); got != want {
				t.Errorf("left %+q, want %+q", got, want)
			}
		})
	}
}

// of gives the snapshots of a state to a player: tables name versions only.
func (s state) of(p handoff.PlayerID) state {
	var v handoff.Version
	if n, _ := fmt.Sscanf(s.update, "%d/%d", &v.Fence, &v.Sequence); n == 2 {
		s.update = string(pack(snapshot(p, v)))
	}
	return s
}

// plainCodec packs what the scripts look at and the player, nothing else.
type plainCodec struct{}

const plainHead = "SWS\xa7\x00\x01\x00\x00"

func (plainCodec) Unpack(packed []byte) (*handoff.Snapshot, error) {
	if len(packed) != 40 || string(packed[:8]) != plainHead {
		return nil, fmt.Errorf("%w: %d bytes", handoff.ErrDamaged, len(packed))
	}
	return snapshot(handoff.PlayerID(packed[24:40]), handoff.Version{
		Fence:    handoff.Fence(binary.BigEndian.Uint64(packed[8:])),
		Sequence: binary.BigEndian.Uint64(packed[16:]),
	}), nil
}

func pack(s *handoff.Snapshot) []byte {
	packed := binary.BigEndian.AppendUint64([]byte(plainHead), uint64(s.Version.Fence))
	packed = binary.BigEndian.AppendUint64(packed, s.Version.Sequence)
	return append(packed, s.Player[:]...)
}

func snapshot(p handoff.PlayerID, v handoff.Version) *handoff.Snapshot {
	return &handoff.Snapshot{Player: p, Version: v}
}

// The calls that tables make. Each returns the answer in one line.

func claim(c handoff.Claim) func(*redisstore.Store, handoff.PlayerID) string {
	return func(s *redisstore.Store, p handoff.PlayerID) string {
		return describeClaimed(s.Claim(context.Background(), p, c))
	}
}

func takeOver(c handoff.Claim, seen handoff.Holder) func(*redisstore.Store, handoff.PlayerID) string {
	c.Over = seen
	return func(s *redisstore.Store, p handoff.PlayerID) string {
		return describeClaimed(s.Claim(context.Background(), p, c))
	}
}

func update(fence handoff.Fence, sequence uint64) func(*redisstore.Store, handoff.PlayerID) string {
	return func(s *redisstore.Store, p handoff.PlayerID) string {
		shot := snapshot(p, handoff.Version{Fence: fence, Sequence: sequence})
		return describeWritten(s.Update(context.Background(), shot, pack(shot)))
	}
}

func checkIn(fence handoff.Fence, sequence uint64) func(*redisstore.Store, handoff.PlayerID) string {
	return func(s *redisstore.Store, p handoff.PlayerID) string {
		shot := snapshot(p, handoff.Version{Fence: fence, Sequence: sequence})
		return describeWritten(s.CheckIn(context.Background(), shot, pack(shot)))
	}
}

func release(fence handoff.Fence) func(*redisstore.Store, handoff.PlayerID) string {
	return func(s *redisstore.Store, p handoff.PlayerID) string {
		return describeWritten(s.Release(context.Background(), p, fence))
	}
}

func resume(fence handoff.Fence) func(*redisstore.Store, handoff.PlayerID) string {
	return resumeAs(handoff.Resume{Fence: fence})
}

func resumeAs(r handoff.Resume) func(*redisstore.Store, handoff.PlayerID) string {
	return func(s *redisstore.Store, p handoff.PlayerID) string {
		return describeWritten(s.Resume(context.Background(), p, r))
	}
}

func sweep(s *redisstore.Store, p handoff.PlayerID) string {
	return describeWritten(s.Sweep(context.Background(), p))
}

func free(seen handoff.Holder) func(*redisstore.Store, handoff.PlayerID) string {
	return func(s *redisstore.Store, p handoff.PlayerID) string {
		return describeWritten(s.Free(context.Background(), p, seen))
	}
}

func describeClaimed(c handoff.Claimed) string {
	switch c.Outcome {
	case handoff.ClaimGranted:
		word := "granted"
		if c.TakenOver {
			word = "taken"
		}
		return fmt.Sprintf("%s %d", word, c.Fence) + describeUpdate(c.Update, c.Err)
	case handoff.ClaimHeld:
		return fmt.Sprintf("held by %s %d", c.Holder.Server, c.Holder.Fence)
	case handoff.ClaimUnknown:
		return "unknown"
	case handoff.ClaimFailed:
		return "failed: " + c.Err.Error()
	default:
		return fmt.Sprintf("outcome %d", c.Outcome)
	}
}

// describeUpdate tells what came with an answer.
func describeUpdate(update *handoff.Snapshot, err error) string {
	switch {
	case errors.Is(err, handoff.ErrDamaged) && update == nil:
		return " damaged"
	case err != nil:
		return " with error " + err.Error()
	case update != nil:
		return " with " + update.Version.String()
	default:
		return ""
	}
}

func describeWritten(w handoff.Written) string {
	switch w.Outcome {
	case handoff.WriteDone:
		return "done" + describeUpdate(w.Update, w.Err)
	case handoff.WriteFenced:
		return fmt.Sprintf("fenced by %s %d", w.Holder.Server, w.Holder.Fence)
	case handoff.WriteSuperseded:
		return "superseded"
	case handoff.WriteForgotten:
		return "forgotten"
	case handoff.WriteFailed:
		return "failed: " + w.Err.Error()
	default:
		return fmt.Sprintf("outcome %d", w.Outcome)
	}
}
