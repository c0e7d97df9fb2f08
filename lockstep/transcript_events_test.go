package lockstep_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/syncworker/syncworker/internal/handoff"
)

// event reads one line of a transcript.
func (p *player) event(verb string, a *args) (handoff.Event, error) {
	request := handoff.RequestID(a.number("req", 0))
	switch verb {
	case "join":
		return handoff.Join{Request: request, Name: a.text("name"), Deadline: p.now.Add(a.duration("wait", 30e9))}, nil
	case "cancel":
		return handoff.CancelJoin{Request: request}, nil
	case "confirm":
		applied := a.text("applied") != "false"
		return handoff.Confirm{Request: request, Session: a.session(), Applied: applied, Problem: a.text("problem")}, nil
	case "save":
		return handoff.Save{Request: request, Session: a.session(), Capture: capture(a)}, nil
	case "quit":
		return handoff.Quit{Request: request, Session: a.session(), Capture: capture(a)}, nil
	case "end":
		return endEvent(a)
	case "claimed":
		return p.claimed(a)
	case "lease":
		checked := handoff.LeaseChecked{Attempt: a.number("attempt", p.lease), Present: a.has("present")}
		if a.has("failed") {
			checked.Err = errBroken
		}
		a.has("absent")
		return checked, nil
	case "read":
		return p.newestRead(a), nil
	case "written":
		return p.written(a)
	case "stored":
		stored := handoff.Stored{ID: snapshotID(a.text("id")), Conflict: a.has("conflict")}
		if a.has("failed") {
			stored.Err = errBroken
		}
		return stored, nil
	case "look":
		return named(a, handoff.LookReady, handoff.LookPoll, func(c handoff.LookCause) handoff.Event {
			return handoff.Look{Cause: c}
		})
	case "timer":
		for timer, name := range timerNames {
			if name != "" && a.has(name) {
				return handoff.TimerFired{Timer: handoff.Timer(timer)}, nil
			}
		}
	case "verify":
		return handoff.Verify{Suspect: a.has("suspect"), Lost: a.has("lost")}, nil
	default:
		return p.newerEvent(verb, a)
	}
	return nil, fmt.Errorf("unknown event")
}

func (p *player) newerEvent(verb string, a *args) (handoff.Event, error) {
	switch verb {
	case "holder-lease":
		read := handoff.LeaseRead{Attempt: a.number("attempt", p.holderLease), Present: a.has("present")}
		read.Incarnation, read.Left = a.text("incarnation"), a.duration("left", 0)
		if a.has("failed") {
			read.Err = errBroken
		}
		a.has("absent")
		return read, nil
	case "petitioned":
		return handoff.Petitioned{By: handoff.ServerID(a.text("by")), Fence: handoff.Fence(a.number("fence", 0))}, nil
	case "doubt":
		return handoff.Doubt{}, nil
	case "adopt":
		return handoff.Adopt{Session: a.session(), Name: a.text("name")}, nil
	case "spooled":
		spooled := handoff.Spooled{ID: snapshotID(a.text("id"))}
		if a.has("failed") {
			spooled.Err = errFull
		}
		return spooled, nil
	}
	return nil, fmt.Errorf("unknown event")
}

var keyNames = [...]string{handoff.KeyCheckout: "checkout", handoff.KeyLease: "lease"}

var timerNames = [...]string{
	handoff.TimerDeadline: "deadline",
	handoff.TimerLook:     "look",
	handoff.TimerRetry:    "retry",
	handoff.TimerStore:    "store",
	handoff.TimerForget:   "forget",
	handoff.TimerConfirm:  "confirm",
	handoff.TimerRead:     "read",
}

// named finds the enum value whose String stands as a bare word.
func named[T interface {
	~uint8
	fmt.Stringer
}](a *args, first, last T, make func(T) handoff.Event) (handoff.Event, error) {
	for value := first; value <= last; value++ {
		if a.has(value.String()) {
			return make(value), nil
		}
	}
	return nil, fmt.Errorf("none of the names is known")
}

func endEvent(a *args) (handoff.Event, error) {
	var session handoff.SessionID
	if a.has("fence") {
		session = a.session()
	}
	return named(a, handoff.EndGameGone, handoff.EndConflict, func(r handoff.EndReason) handoff.Event {
		return handoff.End{Session: session, Reason: r}
	})
}

func capture(a *args) *handoff.Capture {
	if !a.has("id") {
		return nil
	}
	c := &handoff.Capture{
		ID:          snapshotID(a.text("id")),
		Sequence:    a.number("seq", 0),
		HistoryOnly: a.has("history"),
		Data:        parseData(a.text("data")),
	}
	if a.has("removed") {
		c.Removed = strings.Split(a.text("removed"), ",")
	}
	return c
}

func (p *player) claimed(a *args) (handoff.Event, error) {
	claimed := handoff.Claimed{Attempt: a.number("attempt", p.claim)}
	switch {
	case a.has("granted"):
		claimed.Outcome, claimed.Fence = handoff.ClaimGranted, handoff.Fence(a.number("fence", 0))
		claimed.TakenOver = a.has("taken")
		if a.has("update") {
			claimed.Update = parseSnapshot(a.text("update"))
		}
		if a.has("damaged") {
			claimed.Err = handoff.ErrDamaged
		}
	case a.has("held"):
		claimed.Outcome = handoff.ClaimHeld
		claimed.Holder = handoff.Holder{Server: handoff.ServerID(a.text("by")), Fence: handoff.Fence(a.number("fence", 0))}
	case a.has("unknown"):
		claimed.Outcome = handoff.ClaimUnknown
	case a.has("settling"):
		claimed.Outcome, claimed.Until = handoff.ClaimSettling, p.start.Add(a.duration("until", 0))
	case a.has("failed"):
		claimed.Outcome, claimed.Err = handoff.ClaimFailed, errBroken
	default:
		return nil, fmt.Errorf("no outcome")
	}
	return claimed, nil
}

func (p *player) newestRead(a *args) handoff.Event {
	read := handoff.NewestRead{Attempt: a.number("attempt", p.read)}
	switch {
	case a.has("absent"):
		read.Err = handoff.ErrNoSnapshot
	case a.has("damaged"):
		read.Err = handoff.ErrDamaged
	case a.has("failed"):
		read.Err = errBroken
	default:
		read.Snapshot = parseSnapshot(a.text("row"))
	}
	return read
}

func (p *player) written(a *args) (handoff.Event, error) {
	written := handoff.Written{Op: a.number("op", p.op)}
	switch {
	case a.has("done"):
		written.Outcome = handoff.WriteDone
		if a.has("update") {
			written.Update = parseSnapshot(a.text("update"))
		}
	case a.has("fenced"):
		written.Outcome = handoff.WriteFenced
		written.Holder = handoff.Holder{Server: handoff.ServerID(a.text("by")), Fence: handoff.Fence(a.number("fence", 0))}
	case a.has("superseded"):
		written.Outcome = handoff.WriteSuperseded
	case a.has("forgotten"):
		written.Outcome = handoff.WriteForgotten
	case a.has("failed"):
		written.Outcome, written.Err = handoff.WriteFailed, errBroken
	case a.has("too-large"):
		written.Outcome, written.Err = handoff.WriteFailed, handoff.ErrTooLarge
	default:
		return nil, fmt.Errorf("no outcome")
	}
	return written, nil
}

// snapshotID reads "s7" as the snapshot whose last byte is 7.
func snapshotID(text string) handoff.SnapshotID {
	var n byte
	if _, err := fmt.Sscanf(text, "s%d", &n); err != nil {
		panic(fmt.Sprintf("snapshot %q: %v", text, err))
	}
	return handoff.SnapshotID{15: n}
}

// parseSnapshot reads "fence/sequence:key:value,key:value".
func parseSnapshot(text string) *handoff.Snapshot {
	version, data, _ := strings.Cut(text, ":")
	s := &handoff.Snapshot{Player: steve, Data: parseData(data)}
	if _, err := fmt.Sscanf(version, "%d/%d", &s.Version.Fence, &s.Version.Sequence); err != nil {
		panic(fmt.Sprintf("version %q: %v", version, err))
	}
	return s
}

func parseData(text string) map[string][]byte {
	if text == "" {
		return nil
	}
	data := map[string][]byte{}
	for pair := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(pair, ":")
		data[key] = []byte(value)
	}
	return data
}

func describeData(data map[string][]byte) string {
	pairs := make([]string, 0, len(data))
	for key, value := range data {
		pairs = append(pairs, key+":"+string(value))
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}

func describeSnapshot(s *handoff.Snapshot) string {
	return fmt.Sprintf("s%d %v:%s", s.ID[15], s.Version, describeData(s.Data))
}

// describe writes an action as a transcript shows it, and remembers numbers.
func (p *player) describe(action handoff.Action) string {
	switch a := action.(type) {
	case handoff.Claim:
		p.claim = a.Attempt
		return "claim" + flagged(a.Enlist, " enlist") + flagged(a.AllowUnknown, " allow-unknown") +
			flagged(a.Floor != 0, " floor="+a.Floor.String()) +
			flagged(a.Over.Server != "", fmt.Sprintf(" over=%s/%s", a.Over.Server, a.Over.Fence))
	case handoff.CheckLease:
		p.lease = a.Attempt
		return "check lease"
	case handoff.ReadNewest:
		p.read = a.Attempt
		return "read newest"
	case handoff.Update:
		p.op = a.Op
		return "update " + describeSnapshot(a.Snapshot)
	case handoff.CheckIn:
		p.op = a.Op
		return "check in " + describeSnapshot(a.Snapshot)
	case handoff.Release:
		p.op = a.Op
		return fmt.Sprintf("release fence=%d", a.Fence)
	case handoff.Resume:
		p.op = a.Op
		return fmt.Sprintf("resume fence=%d", a.Fence) + flagged(a.Strict, " strict") + flagged(a.Load, " load")
	case handoff.ReadLease:
		p.holderLease = a.Attempt
		return "read lease of " + string(a.Server)
	case handoff.Sweep:
		p.op = a.Op
		return "sweep"
	case handoff.Store:
		return fmt.Sprintf("store %v %s", a.As, describeSnapshot(a.Snapshot))
	case handoff.SetTimer:
		return fmt.Sprintf("timer %s at %v", timerNames[a.Timer], a.At.Sub(p.start))
	case handoff.StopTimer:
		return "stop timer " + timerNames[a.Timer]
	case handoff.Reply:
		return fmt.Sprintf("reply %d: %s", a.Request, describeResult(a.Result))
	default:
		return describePlain(action)
	}
}

func describePlain(action handoff.Action) string {
	switch a := action.(type) {
	case handoff.Expire:
		return "expire " + a.Version.String()
	case handoff.Delist:
		return "delist"
	case handoff.Watch:
		return "watch " + keyNames[a.Key] + flagged(a.Server != "", " of "+string(a.Server))
	case handoff.Unwatch:
		return "unwatch " + keyNames[a.Key]
	case handoff.Petition:
		return fmt.Sprintf("petition to=%s fence=%s", a.To, a.Fence)
	case handoff.AskCheckIn:
		return fmt.Sprintf("ask check-in fence=%d by=%s", a.Session.Fence, a.By)
	case handoff.Spool:
		return fmt.Sprintf("spool %v %s", a.Entry.As, describeSnapshot(a.Entry.Snapshot)) +
			flagged(a.Entry.Accepted, " accepted") + flagged(a.Entry.Final, " final")
	case handoff.Unspool:
		return fmt.Sprintf("unspool s%d", a.ID[15])
	case handoff.TellLost:
		return fmt.Sprintf("tell lost fence=%d new-holder=%q", a.Session.Fence, a.NewHolder)
	case handoff.Note:
		return "note " + a.Kind.String() + flagged(a.Detail != "", " "+a.Detail)
	default:
		return fmt.Sprintf("unknown action %T", action)
	}
}

func describeResult(result handoff.Result) string {
	switch r := result.(type) {
	case *handoff.Grant:
		text := fmt.Sprintf("granted fence=%d source=%v waited=%v", r.Session.Fence, r.Source, r.Waited)
		if r.HandedOverBy != "" {
			text += " from=" + string(r.HandedOverBy)
		}
		if r.Snapshot != nil {
			text += " " + describeData(r.Snapshot.Data)
		}
		return text
	case *handoff.Receipt:
		state := map[handoff.SaveState]string{
			handoff.StateCurrent: "current", handoff.StateHistory: "history", handoff.StateProvisional: "provisional",
		}[r.State]
		return fmt.Sprintf("%s s%d %v", state, r.Snapshot[15], r.Version)
	case handoff.Accepted:
		return "accepted"
	case *handoff.Refusal:
		text := "refused " + r.Reason.String()
		if r.Holder != "" {
			text += " holder=" + string(r.Holder)
		}
		return text + flagged(r.RetryAfter > 0, fmt.Sprintf(" retry-after=%v", r.RetryAfter))
	default:
		return fmt.Sprintf("unknown result %T", result)
	}
}

func flagged(on bool, text string) string {
	if on {
		return text
	}
	return ""
}
