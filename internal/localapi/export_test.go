package localapi

import "net/http"

// Handler returns what the server serves, for tests that make requests which no
// client can make on purpose.
func (s *Server) Handler() http.Handler { return s.http.Handler }

// BreakListener closes the listener behind the server's back.
func (s *Server) BreakListener() { _ = s.listener.Close() }
