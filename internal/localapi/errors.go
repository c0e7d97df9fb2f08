package localapi

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/handoff"
)

// defaultRetry is the retry delay of errors that pass by themselves and do not
// say when.
const defaultRetry = time.Second

// answer is what a reason becomes on the wire.
type answer struct {
	code   connect.Code
	reason v1.ErrorReason
	// retry means that the error passes by itself.
	retry bool
	// level is that of the log line which keeps the cause, if there is one.
	level hclog.Level
}

// answers has every handoff.Reason; the names of the reasons on the wire are
// the same, which a test holds.
var answers = [...]answer{
	handoff.ReasonHeld:               {connect.CodeDeadlineExceeded, v1.ErrorReason_ERROR_REASON_HELD, true, hclog.Debug},
	handoff.ReasonAlreadyHere:        {connect.CodeAlreadyExists, v1.ErrorReason_ERROR_REASON_ALREADY_HERE, false, hclog.Debug},
	handoff.ReasonReplaced:           {connect.CodeAborted, v1.ErrorReason_ERROR_REASON_REPLACED, false, hclog.Debug},
	handoff.ReasonCancelled:          {connect.CodeCanceled, v1.ErrorReason_ERROR_REASON_CANCELLED, false, hclog.Debug},
	handoff.ReasonNoSession:          {connect.CodeNotFound, v1.ErrorReason_ERROR_REASON_NO_SESSION, false, hclog.Debug},
	handoff.ReasonSessionLost:        {connect.CodeFailedPrecondition, v1.ErrorReason_ERROR_REASON_SESSION_LOST, false, hclog.Debug},
	handoff.ReasonNotConfirmed:       {connect.CodeFailedPrecondition, v1.ErrorReason_ERROR_REASON_NOT_CONFIRMED, false, hclog.Debug},
	handoff.ReasonApplyRefused:       {connect.CodeFailedPrecondition, v1.ErrorReason_ERROR_REASON_APPLY_REFUSED, false, hclog.Debug},
	handoff.ReasonNotConfirmedInTime: {connect.CodeFailedPrecondition, v1.ErrorReason_ERROR_REASON_NOT_CONFIRMED_IN_TIME, false, hclog.Debug},
	handoff.ReasonNotAttached:        {connect.CodeFailedPrecondition, v1.ErrorReason_ERROR_REASON_NOT_ATTACHED, false, hclog.Debug},
	handoff.ReasonSuperseded:         {connect.CodeAborted, v1.ErrorReason_ERROR_REASON_SUPERSEDED, false, hclog.Debug},
	handoff.ReasonTooLarge:           {connect.CodeResourceExhausted, v1.ErrorReason_ERROR_REASON_TOO_LARGE, false, hclog.Debug},
	handoff.ReasonUnacceptable:       {connect.CodeInvalidArgument, v1.ErrorReason_ERROR_REASON_UNACCEPTABLE, false, hclog.Debug},
	handoff.ReasonBusy:               {connect.CodeResourceExhausted, v1.ErrorReason_ERROR_REASON_BUSY, true, hclog.Debug},
	handoff.ReasonRedis:              {connect.CodeUnavailable, v1.ErrorReason_ERROR_REASON_REDIS_UNAVAILABLE, true, hclog.Warn},
	handoff.ReasonDatabase:           {connect.CodeUnavailable, v1.ErrorReason_ERROR_REASON_DATABASE_UNAVAILABLE, true, hclog.Warn},
	handoff.ReasonSettling:           {connect.CodeUnavailable, v1.ErrorReason_ERROR_REASON_SETTLING, true, hclog.Debug},
	handoff.ReasonDraining:           {connect.CodeUnavailable, v1.ErrorReason_ERROR_REASON_DRAINING, true, hclog.Debug},
	handoff.ReasonDamaged:            {connect.CodeDataLoss, v1.ErrorReason_ERROR_REASON_DAMAGED, false, hclog.Error},
}

func answerFor(reason handoff.Reason) (answer, bool) {
	if int(reason) >= len(answers) || answers[reason].code == 0 {
		return answer{}, false
	}
	return answers[reason], true
}

// wireReason is a reason as events carry it.
func wireReason(reason handoff.Reason) v1.ErrorReason {
	found, _ := answerFor(reason) // UNSPECIFIED for a reason that has no name either
	return found.reason
}

// problem is an error that this package finds itself.
type problem struct {
	code   connect.Code
	reason v1.ErrorReason
	text   string
	field  string
	holder handoff.ServerID
	retry  time.Duration
	// cause is for the log; may be nil.
	cause error
}

// Error returns the text that the caller is answered.
func (p *problem) Error() string { return p.text }

// invalid says which field of a request is wrong and how.
func invalid(field, format string, args ...any) error {
	return &problem{
		code:   connect.CodeInvalidArgument,
		reason: v1.ErrorReason_ERROR_REASON_INVALID_REQUEST,
		text:   field + ": " + fmt.Sprintf(format, args...),
		field:  field,
	}
}

// wire returns the problem as clients get it.
func (p *problem) wire() *connect.Error {
	err := connect.NewError(p.code, errors.New(p.text))
	describe(err, &v1.ErrorDetail{Reason: p.reason, Holder: string(p.holder), Field: p.field}, p.retry)
	return err
}

// Headers of refused calls: the detail's most wanted parts, for clients that
// speak plain HTTP and JSON and do not unpack protobuf.
const (
	reasonHeader = "Syncworker-Reason"
	holderHeader = "Syncworker-Holder"
)

// describe attaches the detail and the retry delay.
func describe(err *connect.Error, detail *v1.ErrorDetail, retry time.Duration) {
	err.Meta().Set(reasonHeader, reasonName(detail.Reason))
	if detail.Holder != "" {
		err.Meta().Set(holderHeader, detail.Holder)
	}
	if retry > 0 {
		detail.RetryAfter = durationpb.New(retry)
		err.Meta().Set("Retry-After", strconv.Itoa(int(math.Ceil(retry.Seconds()))))
	}
	// A detail that cannot be packed does not exist: the message is our own.
	if packed, packErr := connect.NewErrorDetail(detail); packErr == nil {
		err.AddDetail(packed)
	}
}

// reasonName is a reason as headers and logs show it.
func reasonName(reason v1.ErrorReason) string {
	return strings.TrimPrefix(reason.String(), "ERROR_REASON_")
}

// translate turns what a method returned into what the client is answered, and
// logs what the client is not told.
func (c *calls) translate(method string, err error) *connect.Error {
	var (
		own     *problem
		refusal *handoff.Refusal
		ready   *connect.Error
	)
	switch {
	case errors.As(err, &own):
		if own.cause != nil {
			c.log.Warn("call refused", "method", method, "reason", reasonName(own.reason), "error", own.cause)
		}
		return own.wire()
	case errors.As(err, &refusal):
		return c.refuse(method, refusal)
	case errors.As(err, &ready):
		return ready // Connect's own, from receiving or sending
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return c.ended(method, err)
	default:
		return c.internal(method, "call failed", "error", err)
	}
}

func (c *calls) refuse(method string, refusal *handoff.Refusal) *connect.Error {
	found, ok := answerFor(refusal.Reason)
	if !ok {
		return c.internal(method, "call refused for an unknown reason", "error", refusal)
	}
	if refusal.Err != nil {
		c.log.Log(found.level, "call refused", "method", method, "reason", refusal.Reason, "error", refusal.Err)
	}
	text := refusal.Reason.Explain()
	if refusal.Reason == handoff.ReasonTooLarge {
		text += fmt.Sprintf(": snapshots.max_size is %d bytes", c.maxSnapshot)
	}
	if errors.Is(refusal.Err, handoff.ErrSpoolFull) {
		text += ", and the save could not be kept on this machine: " + refusal.Err.Error()
	}
	if refusal.Holder != "" {
		text += " (holder: " + string(refusal.Holder) + ")"
	}
	retry := refusal.RetryAfter
	if retry <= 0 && found.retry {
		retry = defaultRetry
	}
	err := connect.NewError(found.code, errors.New(text))
	describe(err, &v1.ErrorDetail{Reason: found.reason, Holder: string(refusal.Holder)}, retry)
	return err
}

// ended answers a call whose context ended before it was answered.
func (c *calls) ended(method string, err error) *connect.Error {
	switch {
	case c.life.stopping.Err() != nil:
		return c.refuse(method, &handoff.Refusal{Reason: handoff.ReasonDraining})
	case errors.Is(err, context.DeadlineExceeded):
		return (&problem{
			code: connect.CodeDeadlineExceeded, reason: v1.ErrorReason_ERROR_REASON_CALL_TIMEOUT,
			text: "the call's own deadline passed",
		}).wire()
	default:
		return (&problem{
			code: connect.CodeCanceled, reason: v1.ErrorReason_ERROR_REASON_CANCELLED, text: "the caller hung up",
		}).wire()
	}
}

// internal logs a failure under an ID and answers with the ID alone.
func (c *calls) internal(method, message string, details ...any) *connect.Error {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails, by its documentation
	name := hex.EncodeToString(id[:])
	c.log.Error(message, append([]any{"method", method, "correlation-id", name}, details...)...)
	return (&problem{
		code:   connect.CodeInternal,
		reason: v1.ErrorReason_ERROR_REASON_INTERNAL,
		text:   "internal error " + name + ": the worker's log has more under this correlation-id",
	}).wire()
}
