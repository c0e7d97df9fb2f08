package devredis

// Command is one command as a client sent it; commands inside scripts are not
// shown.
type Command struct {
	// Conn numbers the connection.
	Conn int64
	// DB is the selected database.
	DB int
	// PubSub tells that the connection has subscriptions.
	PubSub bool
	// Args are the name and the arguments, as sent. Not to be changed.
	Args []string
}

// Verdict is what happens to one command.
type Verdict struct {
	act  act
	text string
}

type act uint8

const (
	actPass act = iota
	actLose
	actLoseAnswer
	actHang
	actRefuse
)

// The verdicts of an Intercept function.
var (
	// Pass runs the command as if nobody had looked.
	Pass = Verdict{act: actPass}
	// Lose closes the connection before the command runs.
	Lose = Verdict{act: actLose}
	// LoseAnswer runs the command and closes the connection instead of
	// answering.
	LoseAnswer = Verdict{act: actLoseAnswer}
	// Hang leaves the connection open but silent for good: the command does
	// not run and nothing is answered any more, as when a network drops all
	// packets.
	Hang = Verdict{act: actHang}
)

// Refuse answers an error, for instance "NOPERM this user has no permissions",
// and does not run the command.
func Refuse(text string) Verdict { return Verdict{act: actRefuse, text: text} }

// Intercept lets a function judge every command before it runs. It is called on
// the connection's goroutine outside of all locks, so it may block to delay the
// command, and may use the server. Nil takes it away.
func (s *Server) Intercept(judge func(Command) Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = judge
}

func (s *Server) judge(c *conn, args []string) Verdict {
	s.mu.Lock()
	judge := s.intercept
	seen := Command{Conn: c.id, DB: c.db, PubSub: c.subscriptions() > 0, Args: args}
	s.mu.Unlock()
	if judge == nil {
		return Pass
	}
	return judge(seen)
}

// SetConfigForbidden makes CONFIG an unknown command, as managed Redis does, or
// allows it again.
func (s *Server) SetConfigForbidden(forbidden bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forbidden = forbidden
}

// loadingText is what a server that loads answers to what needs its data.
const loadingText = "LOADING Redis is loading the dataset in memory"

// whileLoading are the commands that are carried out all the same.
var whileLoading = map[string]bool{
	"AUTH": true, "CLIENT": true, "CONFIG": true, "HELLO": true, "INFO": true, "QUIT": true, "SELECT": true,
	"SUBSCRIBE": true, "UNSUBSCRIBE": true, "PSUBSCRIBE": true, "PUNSUBSCRIBE": true,
}

// SetLoading makes the server load its data, as Redis does after a start with
// much of it, or ends that. Until then it takes connections and subscriptions,
// and refuses what needs the data.
func (s *Server) SetLoading(loading bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loading = loading
}

// SetNotifyKeyspaceEvents changes the flags as CONFIG SET would, also while
// CONFIG is forbidden to clients. It returns an error when the text is no set
// of flags.
func (s *Server) SetNotifyKeyspaceEvents(text string) error {
	parsed, err := parseFlags(text)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flags = parsed
	return nil
}

// NotifyKeyspaceEvents returns the flags as CONFIG GET would.
func (s *Server) NotifyKeyspaceEvents() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flags.String()
}

// Freeze stops the server as SIGSTOP does: connections stay open, nothing runs
// or expires until Thaw.
func (s *Server) Freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = true
}

// Thaw lets a frozen server go on.
func (s *Server) Thaw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = false
	s.thawed.Broadcast()
}

// DropPubSub closes every connection that has subscriptions, as CLIENT KILL TYPE
// pubsub does, and returns how many there were.
func (s *Server) DropPubSub() int {
	return s.each(func(c *conn) bool { return c.subscriptions() > 0 }, s.drop)
}

// DropAll closes every connection and returns how many there were. New ones are
// welcome at once.
func (s *Server) DropAll() int {
	return s.each(func(*conn) bool { return true }, s.drop)
}

// SilencePubSub makes every connection that has subscriptions silent: it stays
// open, but nothing is read from it or sent to it any more, as when a network
// drops all packets. It returns how many there were. New connections work.
func (s *Server) SilencePubSub() int {
	return s.each(func(c *conn) bool { return c.subscriptions() > 0 }, s.silence)
}

// Connections returns the number of open connections.
func (s *Server) Connections() int {
	return s.each(func(*conn) bool { return true }, func(*conn) {})
}

func (s *Server) each(match func(*conn) bool, do func(*conn)) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	count := 0
	for c := range s.conns {
		if match(c) {
			do(c)
			count++
		}
	}
	return count
}

// silence keeps the connection open and ends everything else about it.
func (s *Server) silence(c *conn) {
	c.silent = true
	s.unsubscribeAll(c)
}
