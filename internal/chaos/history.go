package chaos

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Kind says what an entry of a history is about.
type Kind string

// What is recorded.
const (
	// KindJoin is one call of Join.
	KindJoin Kind = "join"
	// KindConfirm is one call of Confirm.
	KindConfirm Kind = "confirm"
	// KindSave and KindQuit are one attempt each to hand in a capture. Several
	// attempts with one capture have the same Mark.
	KindSave Kind = "save"
	KindQuit Kind = "quit"
	// KindAttach is the answer to Attach.
	KindAttach Kind = "attach"
	// KindEnd is the end of a stay without a quit: told by the worker, or
	// concluded by the game.
	KindEnd Kind = "end"
	// KindTrade is an exchange of tokens, in the memory of one game.
	KindTrade Kind = "trade"
	// KindFault is something that was broken on purpose, until End.
	KindFault Kind = "fault"
	// KindBroken is something that must not happen whatever fails, for instance
	// a worker that ends by itself.
	KindBroken Kind = "broken"
	// KindNote is for readers only.
	KindNote Kind = "note"
)

// Outcome says how a call ended.
type Outcome string

// How calls end.
const (
	// Current, Provisional: the capture was taken, with that answer.
	Current     Outcome = "current"
	Provisional Outcome = "provisional"
	// Delivered: the join was granted, with data; New: with none.
	Delivered Outcome = "delivered"
	New       Outcome = "new"
	// OK: what else was answered without an error.
	OK Outcome = "ok"
	// Refused: the worker answered with an error; see Reason.
	Refused Outcome = "refused"
	// Unknown: there was no answer.
	Unknown Outcome = "unknown"
)

// HungUp is the reason of calls that the game itself broke off.
const HungUp = "HUNG_UP"

// Version is a snapshot's place among those of one player.
type Version struct {
	Fence    int64  `json:"fence"`
	Sequence uint64 `json:"sequence"`
}

// Less orders versions.
func (v Version) Less(w Version) bool {
	return v.Fence < w.Fence || v.Fence == w.Fence && v.Sequence < w.Sequence
}

// String is fence/sequence.
func (v Version) String() string { return fmt.Sprintf("%d/%d", v.Fence, v.Sequence) }

// Side is one player's part in a trade.
type Side struct {
	Player  int    `json:"player"`
	Session string `json:"session"`
	// Capture is the number of the session's first capture that includes the
	// trade.
	Capture uint64 `json:"capture"`
	// Gave is the token that went to the other side.
	Gave string `json:"gave"`
}

// Entry is one line of a history. What does not apply is left at its zero value.
type Entry struct {
	// N counts the entries, in the order in which they ended.
	N    int  `json:"n"`
	Kind Kind `json:"kind"`
	// Start and End are times since the begin of the run, by a clock that never
	// steps; for calls, right before sending and right after the answer.
	Start time.Duration `json:"start"`
	End   time.Duration `json:"end"`
	// Server and Boot name the game server and its start.
	Server string `json:"server,omitempty"`
	Boot   string `json:"boot,omitempty"`
	// Player counts from 1; 0 is none.
	Player int `json:"player,omitempty"`
	// Session is the session's ID, Fence the number by which sessions of one
	// player are ordered.
	Session string `json:"session,omitempty"`
	Fence   int64  `json:"fence,omitempty"`
	// Mark is a text that is in the data and in no other capture's: of a save or
	// quit the one that is written, of a join the one that was delivered.
	Mark string `json:"mark,omitempty"`
	// Capture is the number of a capture inside its session, from 1.
	Capture uint64 `json:"capture,omitempty"`
	// Digest is a checksum of the whole data: written, or delivered.
	Digest string `json:"digest,omitempty"`
	// Tokens are those in the data. A new player's are those the game gave.
	Tokens  []string `json:"tokens,omitempty"`
	Outcome Outcome  `json:"outcome,omitempty"`
	// Reason is the worker's own word for a refusal.
	Reason  string  `json:"reason,omitempty"`
	Version Version `json:"version,omitzero"`
	// Source is where a join's data came from.
	Source string `json:"source,omitempty"`
	// Waited is how long a player has waited for this join, earlier attempts
	// included.
	Waited time.Duration `json:"waited,omitempty"`
	// Final marks the joins after the last fault.
	Final bool `json:"final,omitempty"`
	// Resumed is how many sessions an Attach was told to go on with.
	Resumed int `json:"resumed,omitempty"`
	// Sides are the two sides of a trade.
	Sides []Side `json:"sides,omitempty"`
	// Text is for readers.
	Text string `json:"text,omitempty"`
}

// Recorder collects a history and writes each entry to a file at once, so that
// what happened before a crash of the tool can be read, too.
type Recorder struct {
	begin time.Time

	mu      sync.Mutex
	entries []Entry
	file    *os.File
	out     *bufio.Writer
	err     error
}

// NewRecorder writes to a new file.
func NewRecorder(path string) (*Recorder, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("chaos: create history: %w", err)
	}
	return &Recorder{begin: time.Now(), file: file, out: bufio.NewWriter(file)}, nil
}

// Now is the time since the begin of the run.
func (r *Recorder) Now() time.Duration { return time.Since(r.begin) }

// Add appends an entry that ends now. Entries of an instant need no Start.
func (r *Recorder) Add(e Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.End = r.Now()
	if e.Start == 0 {
		e.Start = e.End
	}
	e.N = len(r.entries) + 1
	r.entries = append(r.entries, e)
	line, err := json.Marshal(e)
	if err == nil {
		_, err = r.out.Write(append(line, '\n'))
	}
	if r.err == nil {
		r.err = err
	}
}

// Entries is a copy of what was recorded so far.
func (r *Recorder) Entries() []Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Entry(nil), r.entries...)
}

// Close completes the file.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, err := range []error{r.out.Flush(), r.file.Close()} {
		if r.err == nil {
			r.err = err
		}
	}
	if r.err != nil {
		return fmt.Errorf("chaos: write history: %w", r.err)
	}
	return nil
}

// Read reads a history as a Recorder writes it.
func Read(in io.Reader) ([]Entry, error) {
	var entries []Entry
	decoder := json.NewDecoder(in)
	for {
		var e Entry
		switch err := decoder.Decode(&e); err {
		case nil:
			entries = append(entries, e)
		case io.EOF:
			return entries, nil
		default:
			return nil, fmt.Errorf("chaos: read entry %d of a history: %w", len(entries)+1, err)
		}
	}
}
