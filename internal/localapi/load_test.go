package localapi_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/localapi"
)

// Ten thousand joins wait on one connection, a save gets past them, and the one
// too many is told so.
func TestTenThousandJoins(t *testing.T) {
	b := newBed(t, func(c *localapi.Config) { c.MaxJoins = manyJoins })
	var entered sync.WaitGroup
	entered.Add(manyJoins)
	b.sessions.onJoin = func(ctx context.Context, _ handoff.PlayerID, _ string, _ time.Duration) (*handoff.Grant, error) {
		entered.Done()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	b.sessions.onQuit = func(context.Context, handoff.SessionID, *handoff.Capture) (*handoff.Receipt, error) {
		return &handoff.Receipt{State: handoff.StateCurrent}, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	var answered sync.WaitGroup
	for range manyJoins {
		answered.Go(func() {
			if _, err := b.client.Players.Join(ctx, &v1.JoinRequest{PlayerId: playerText}); connect.CodeOf(err) != connect.CodeCanceled {
				t.Errorf("Join: %v, want canceled", err)
			}
		})
	}
	entered.Wait()
	if _, err := b.client.Players.Quit(t.Context(), &v1.QuitRequest{SessionId: theSession.String()}); err != nil {
		t.Errorf("a quit while %d joins wait: %v", manyJoins, err)
	}
	_, err := b.client.Players.Join(t.Context(), &v1.JoinRequest{PlayerId: playerText})
	wantError(t, err, connect.CodeResourceExhausted, v1.ErrorReason_ERROR_REASON_TOO_MANY_CALLS)
	cancel()
	answered.Wait()
}

// BenchmarkSave measures what the API itself adds to a save.
func BenchmarkSave(b *testing.B) {
	bed := newBed(b, nil)
	bed.sessions.onSave = func(_ context.Context, _ handoff.SessionID, capture *handoff.Capture) (*handoff.Receipt, error) {
		return &handoff.Receipt{Snapshot: capture.ID, State: handoff.StateCurrent}, nil
	}
	request := &v1.SaveRequest{
		SessionId: theSession.String(), Snapshot: &v1.Capture{Data: map[string][]byte{"minecraft:inventory": make([]byte, 16<<10)}},
	}
	for _, http2 := range []bool{false, true} {
		for _, json := range []bool{false, true} {
			b.Run(fmt.Sprintf("http2=%t/json=%t", http2, json), func(b *testing.B) {
				var options []connect.ClientOption
				if json {
					options = append(options, connect.WithProtoJSON())
				}
				client := dial(b, bed.listen, "", http2, options...)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := client.Players.Save(b.Context(), request); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
