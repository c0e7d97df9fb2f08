package driver

import "sync"

// pool runs players' work on at most limit goroutines, which exist only while
// there is work. Players get their turn in the order in which they were added.
type pool struct {
	limit int
	run   func(*player)
	work  *sync.WaitGroup

	mu      sync.Mutex
	ready   fifo
	running int
}

// add queues the player. It does not block.
func (p *pool) add(who *player) {
	p.mu.Lock()
	p.ready.push(who)
	spawn := p.running < p.limit
	if spawn {
		p.running++
		p.work.Add(1)
	}
	p.mu.Unlock()
	if spawn {
		go p.loop()
	}
}

// loop works until nobody is ready.
func (p *pool) loop() {
	defer p.work.Done()
	for {
		p.mu.Lock()
		who, ok := p.ready.pop()
		if !ok {
			p.running--
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		p.run(who)
	}
}

// fifo is a ring of players. The zero value is empty.
type fifo struct {
	ring  []*player
	first int
	count int
}

// keepRing is the largest ring kept by an empty fifo.
const keepRing = 256

func (f *fifo) push(who *player) {
	if f.count == len(f.ring) {
		f.grow()
	}
	f.ring[(f.first+f.count)%len(f.ring)] = who
	f.count++
}

func (f *fifo) pop() (*player, bool) {
	if f.count == 0 {
		return nil, false
	}
	who := f.ring[f.first]
	f.ring[f.first] = nil
	f.first = (f.first + 1) % len(f.ring)
	f.count--
	if f.count == 0 && len(f.ring) > keepRing {
		f.ring = nil
		f.first = 0
	}
	return who, true
}

func (f *fifo) grow() {
	ring := make([]*player, max(8, 2*len(f.ring)))
	for i := range f.count {
		ring[i] = f.ring[(f.first+i)%len(f.ring)]
	}
	f.ring = ring
	f.first = 0
}
