package localapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/api/syncworker/v1/syncworkerv1connect"
	"github.com/syncworker/syncworker/internal/handoff"
)

// Sizes of requests, in bytes. Base64 in JSON makes four bytes of three; the
// rest is room for keys and for what surrounds them.
const (
	smallRequest   = 64 << 10
	attachRequest  = 2 << 20
	aroundSnapshot = 1 << 20
)

// Numbers of calls that are not worth a setting: operators must get in when
// games fill the rest, and a worker has one game.
const (
	maxAdminCalls = 64
	maxAttaches   = 16
)

// guard stands before the methods and sees requests before their bodies are
// read.
type guard struct {
	next    http.Handler
	metrics *metrics
	life    *life
	arrive  time.Duration
	send    time.Duration
	// token is the digest of the bearer token; secured is false where none is
	// asked for.
	token   [sha256.Size]byte
	secured bool
	errors  *connect.ErrorWriter
	rules   map[string]rule
}

// rule is what is allowed to one method.
type rule struct {
	maxBody int64
	room    *room
	// snapshots is snapshots.max_size where maxBody comes from it.
	snapshots int64
}

// room bounds the number of calls of some methods.
type room struct {
	name  string
	limit int64
	used  atomic.Int64
}

func (r *room) enter() bool {
	if r.used.Add(1) <= r.limit {
		return true
	}
	r.used.Add(-1)
	return false
}

func (r *room) leave() { r.used.Add(-1) }

// rulesFor gives joins and other calls room of their own, so that joins that
// wait never keep a save or a quit out.
func rulesFor(config Config) map[string]rule {
	joins := &room{name: "joins", limit: int64(config.MaxJoins)}
	others := &room{name: "calls", limit: int64(config.MaxCalls)}
	attaches := &room{name: "attach calls", limit: maxAttaches}
	admin := &room{name: "operator calls", limit: maxAdminCalls}
	snapshot := rule{
		maxBody: (config.MaxSnapshot+2)/3*4 + aroundSnapshot, room: others, snapshots: config.MaxSnapshot,
	}
	return map[string]rule{
		syncworkerv1connect.PlayerServiceAttachProcedure:         {maxBody: attachRequest, room: attaches},
		syncworkerv1connect.PlayerServiceJoinProcedure:           {maxBody: smallRequest, room: joins},
		syncworkerv1connect.PlayerServiceConfirmProcedure:        {maxBody: smallRequest, room: others},
		syncworkerv1connect.PlayerServiceSaveProcedure:           snapshot,
		syncworkerv1connect.PlayerServiceQuitProcedure:           snapshot,
		syncworkerv1connect.AdminServiceGetStatusProcedure:       {maxBody: smallRequest, room: admin},
		syncworkerv1connect.AdminServiceListSessionsProcedure:    {maxBody: smallRequest, room: admin},
		syncworkerv1connect.AdminServiceGetCheckoutProcedure:     {maxBody: smallRequest, room: admin},
		syncworkerv1connect.AdminServiceReleaseCheckoutProcedure: {maxBody: smallRequest, room: admin},
		syncworkerv1connect.AdminServiceListReleasesProcedure:    {maxBody: smallRequest, room: admin},
	}
}

// ServeHTTP lets a request through or answers why not.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := "unknown"
	limits, known := g.rules[r.URL.Path]
	if known {
		method = methodName(r.URL.Path)
	}
	request := &request{control: http.NewResponseController(w)}
	request.arrive(g.arrive, g.send)
	if !g.authentic(r.Header.Get("Authorization")) {
		g.reject(w, r, method, "token", &problem{
			code: connect.CodeUnauthenticated, reason: v1.ErrorReason_ERROR_REASON_UNAUTHENTICATED,
			text: "the bearer token is missing or wrong: send the header Authorization: Bearer with the content of api.token_file",
		})
		return
	}
	if !known {
		http.NotFound(w, r)
		return
	}
	if !g.life.enter() {
		g.reject(w, r, method, "stopping", &problem{
			code: connect.CodeUnavailable, reason: v1.ErrorReason_ERROR_REASON_DRAINING,
			text: handoff.ReasonDraining.Explain(), retry: defaultRetry,
		})
		return
	}
	defer g.life.leave()
	if !limits.room.enter() {
		g.reject(w, r, method, "limit", &problem{
			code: connect.CodeResourceExhausted, reason: v1.ErrorReason_ERROR_REASON_TOO_MANY_CALLS,
			text: "too many " + limits.room.name + " are under way", retry: defaultRetry,
		})
		return
	}
	defer limits.room.leave()
	inner := r.WithContext(context.WithValue(r.Context(), requestKey{}, request))
	inner.Body = &body{inner: r.Body, limits: limits, timeout: g.arrive}
	g.next.ServeHTTP(w, inner)
	if !request.reached {
		g.metrics.rejected.WithLabelValues(method, "message").Inc()
	}
}

// authentic compares digests, so that neither the content nor the length of the
// token shows in the time it takes.
func (g *guard) authentic(header string) bool {
	if !g.secured {
		return true
	}
	scheme, token, _ := strings.Cut(header, " ")
	digest := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return subtle.ConstantTimeCompare(digest[:], g.token[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}

func (g *guard) reject(w http.ResponseWriter, r *http.Request, method, cause string, why *problem) {
	g.metrics.rejected.WithLabelValues(method, cause).Inc()
	err := why.wire()
	if why.code == connect.CodeUnauthenticated {
		err.Meta().Set("WWW-Authenticate", "Bearer")
	}
	// A write that fails means that the client is gone: nobody is left to tell.
	_ = g.errors.Write(w, r, err)
}
