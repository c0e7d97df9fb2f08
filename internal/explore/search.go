package explore

import (
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a Run.
type Options struct {
	// States is how many distinct states to explore in all; the families share
	// them. Zero means DefaultStates.
	States int
	// Servers is how many servers there are at least, 2 or 3; zero means that
	// each family has its own number.
	Servers int
	// Faults is how many faults a path may have; below zero each family has its
	// own number.
	Faults int
	// Only names the one family to explore; empty means all.
	Only string
	// Progress takes a line now and then; nil for none.
	Progress io.Writer
	// Workers is how many goroutines step; zero means one per processor. The
	// result does not depend on it.
	Workers int
}

// DefaultStates is what Run explores when nothing is asked for.
const DefaultStates = 1_500_000

// Result is what was explored.
type Result struct {
	States      int            `json:"states"`
	Transitions int            `json:"transitions"`
	Took        time.Duration  `json:"took"`
	Families    []FamilyResult `json:"families"`
	Violation   *Violation     `json:"violation,omitempty"`
}

// FamilyResult is the part of one family.
type FamilyResult struct {
	Name        string        `json:"name"`
	States      int           `json:"states"`
	Transitions int           `json:"transitions"`
	Depth       int           `json:"depth"`
	Complete    bool          `json:"complete"`
	Took        time.Duration `json:"took"`
}

// Violation is a law that was broken.
type Violation struct {
	Family string `json:"family"`
	Law    string `json:"law"`
	// Trace is the shortest course of events that leads there.
	Trace []string `json:"trace"`
}

// Run explores until the states are used up, everything has been seen, or a law
// is broken.
func Run(o Options) (Result, error) {
	started := time.Now()
	if o.States <= 0 {
		o.States = DefaultStates
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	chosen, err := choose(o)
	if err != nil {
		return Result{}, err
	}
	var result Result
	left, weights := o.States, 0
	for _, f := range chosen {
		weights += f.weight
	}
	for _, f := range chosen {
		share := left * f.weight / weights
		weights -= f.weight
		s, err := newSearch(f, share, o)
		if err != nil {
			return Result{}, err
		}
		part := s.run()
		left -= part.States
		result.Families = append(result.Families, part)
		result.States += part.States
		result.Transitions += part.Transitions
		if s.found != nil {
			result.Violation = s.violation()
			break
		}
	}
	result.Took = time.Since(started)
	return result, nil
}

// node is how a state was reached first.
type node struct {
	parent uint32
	move   Move
}

// open is a state that was reached and not gone on from.
type open struct {
	world *World
	id    uint32
}

// next is a state that a chunk has reached.
type next struct {
	world *World
	hash  hash
	move  Move
}

// search is the exploration of one family.
type search struct {
	family   *family
	limit    int
	progress io.Writer
	start    *World
	visited  map[hash]struct{}
	nodes    []node
	steppers []*stepper
	// live are the calm states that are known to come to rest.
	live        map[uint64]struct{}
	transitions int
	depth       int
	found       *find
	began, told time.Time
}

// find is a broken law: the state it was found from, and the move that breaks it
// there or, from the calm world, no move.
type find struct {
	from uint32
	move *Move
	calm calmness
}

// stepper is what one goroutine needs.
type stepper struct {
	encoder *encoder
	moves   []Move
	live    map[uint64]struct{}
	walked  []uint64
}

func newSearch(f *family, limit int, o Options) (*search, error) {
	start, err := f.world()
	if err != nil {
		return nil, err
	}
	s := &search{
		family: f, limit: limit, progress: o.Progress, start: start,
		visited: map[hash]struct{}{}, live: map[uint64]struct{}{}, began: time.Now(), told: time.Now(),
	}
	for range o.Workers {
		s.steppers = append(s.steppers, &stepper{encoder: newEncoder(), live: map[uint64]struct{}{}})
	}
	return s, nil
}

// chunkSize is how many states are gone on from between two merges.
const chunkSize = 1024

func (s *search) run() FamilyResult {
	s.visited[s.steppers[0].encoder.hash(s.start)] = struct{}{}
	s.nodes = []node{{}}
	level := []open{{s.start, 0}}
	if s.start.violation != "" {
		s.found = &find{}
	}
	for len(level) > 0 && s.found == nil && len(s.nodes) < s.limit {
		level = s.level(level)
		s.depth++
	}
	if s.found == nil {
		s.checkCalm(level)
	}
	return FamilyResult{
		Name: s.family.name, States: len(s.nodes), Transitions: s.transitions, Depth: s.depth,
		Complete: len(level) == 0 && s.found == nil, Took: time.Since(s.began),
	}
}

// level goes on from every state of one depth and returns those of the next, and
// of this one what the limit has left.
func (s *search) level(level []open) []open {
	var reached []open
	for len(level) > 0 && s.found == nil && len(s.nodes) < s.limit {
		n := min(chunkSize, len(level))
		chunk := level[:n]
		level = level[n:]
		results := s.expand(chunk)
		for k, list := range results {
			reached = s.merge(chunk[k].id, list, reached)
			chunk[k].world = nil
			if s.found != nil {
				return nil
			}
		}
		s.mergeLive()
		s.tell(len(level) + len(reached))
	}
	return append(level, reached...)
}

// expand goes on from each state of the chunk, on all goroutines; what comes of
// it stands in the order of the chunk.
func (s *search) expand(chunk []open) [][]next {
	results := make([][]next, len(chunk))
	counts := make([]int, len(chunk))
	calm := make([]calmness, len(chunk))
	s.each(len(chunk), func(st *stepper, k int) {
		calm[k] = s.endsBadly(st, chunk[k].world)
		results[k], counts[k] = s.successors(st, chunk[k].world)
	})
	for k := range chunk {
		s.transitions += counts[k]
		if calm[k] != notCalm && s.found == nil {
			s.found = &find{from: chunk[k].id, calm: calm[k]}
		}
	}
	return results
}

// each calls do for every index, on all goroutines.
func (s *search) each(n int, do func(st *stepper, k int)) {
	var at atomic.Int64
	var wg sync.WaitGroup
	for _, st := range s.steppers {
		wg.Go(func() {
			for {
				k := int(at.Add(1)) - 1
				if k >= n {
					return
				}
				do(st, k)
			}
		})
	}
	wg.Wait()
}

// successors returns the worlds that one move leads to, less those known.
func (s *search) successors(st *stepper, w *World) (list []next, count int) {
	st.moves = w.moves(st.moves)
	for _, m := range st.moves {
		fresh := w.clone()
		fresh.apply(m)
		h := st.encoder.hash(fresh)
		if _, known := s.visited[h]; !known || fresh.violation != "" {
			list = append(list, next{fresh, h, m})
		}
	}
	return list, len(st.moves)
}

// merge adds what is new.
func (s *search) merge(from uint32, list []next, reached []open) []open {
	for _, n := range list {
		if n.world.violation != "" {
			s.found = &find{from: from, move: &n.move}
			return nil
		}
		if _, known := s.visited[n.hash]; known || len(s.nodes) >= s.limit {
			continue
		}
		s.visited[n.hash] = struct{}{}
		s.nodes = append(s.nodes, node{parent: from, move: n.move})
		reached = append(reached, open{n.world, uint32(len(s.nodes) - 1)})
	}
	return reached
}

// calmSteps is more than any course without faults takes.
const calmSteps = 3000

// endsBadly returns the course without further faults that breaks a law,
// notCalm when none does.
func (s *search) endsBadly(st *stepper, w *World) calmness {
	for _, kind := range [...]calmness{calmEager, calmLazy} {
		if !s.comesToRest(st, w.calmDown(kind)) {
			return kind
		}
	}
	return notCalm
}

// comesToRest follows the one course of events without further faults, until
// everything is at rest or a state comes up that is known to get there.
func (s *search) comesToRest(st *stepper, calm *World) bool {
	st.walked = st.walked[:0]
	for k := range calmSteps {
		if k%4 == 0 {
			h := st.encoder.hash(calm)[0]
			if s.isLive(st, h) {
				break
			}
			st.walked = append(st.walked, h)
		}
		m, more := calm.calmMove()
		if !more {
			if m, more = calm.rest(); !more {
				if calm.violation != "" {
					return false
				}
				break
			}
		}
		calm.owned = [maxServers]bool{true, true, true} // Nobody shares it.
		calm.apply(m)
		if calm.violation != "" || k == calmSteps-1 {
			return false
		}
	}
	for _, h := range st.walked {
		st.live[h] = struct{}{}
	}
	return true
}

func (s *search) isLive(st *stepper, h uint64) bool {
	if _, ok := s.live[h]; ok {
		return true
	}
	_, ok := st.live[h]
	return ok
}

func (s *search) mergeLive() {
	for _, st := range s.steppers {
		for h := range st.live {
			s.live[h] = struct{}{}
		}
		clear(st.live)
	}
}

// checkCalm looks at the states that were reached and not gone on from.
func (s *search) checkCalm(level []open) {
	for len(level) > 0 && s.found == nil {
		n := min(chunkSize, len(level))
		calm := make([]calmness, n)
		s.each(n, func(st *stepper, k int) { calm[k] = s.endsBadly(st, level[k].world) })
		for k := range n {
			if calm[k] != notCalm && s.found == nil {
				s.found = &find{from: level[k].id, calm: calm[k]}
			}
			level[k].world = nil
		}
		level = level[n:]
		s.mergeLive()
		s.tell(len(level))
	}
}

// tell prints how far it is, every ten seconds.
func (s *search) tell(open int) {
	const pause = 10 * time.Second
	if s.progress == nil || time.Since(s.told) < pause {
		return
	}
	s.told = time.Now()
	_, _ = fmt.Fprintf(s.progress, "%s: %d states, %d transitions, depth %d, %d open, %d calm, %v\n", s.family.name,
		len(s.nodes), s.transitions, s.depth, open, len(s.live), time.Since(s.began).Round(time.Second))
}
