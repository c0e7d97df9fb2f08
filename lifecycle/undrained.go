package lifecycle

import (
	"fmt"
	"strings"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// UndrainedError says whom a drain did not bring to an orderly end. What it left
// in Redis is cleared by the next run of this server.
type UndrainedError struct {
	// Players still had a live session or a write under way.
	Players []handoff.Summary
	// Unsaved players were released without a final save: their data is what
	// was accepted last.
	Unsaved []handoff.Summary
	// Checkouts counts players on server_checkouts who could not be cleared.
	Checkouts int
	// Err is why, where there is a cause beyond the lack of time.
	Err error
}

// Error names the first few players.
func (e *UndrainedError) Error() string {
	text := fmt.Sprintf("%s: %d players not drained%s, %d checkouts not cleared", ErrUndrained,
		len(e.Players), firstNames(e.Players), e.Checkouts)
	if len(e.Unsaved) > 0 {
		text += fmt.Sprintf(", %d players released without a final save%s", len(e.Unsaved), firstNames(e.Unsaved))
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// firstNames lists the first few players in brackets, "" when there are none.
func firstNames(players []handoff.Summary) string {
	const most = 10
	if len(players) == 0 {
		return ""
	}
	var names []string
	for _, player := range players[:min(most, len(players))] {
		names = append(names, player.Player.String())
	}
	if len(players) > most {
		names = append(names, "...")
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// Unwrap returns ErrUndrained and the cause.
func (e *UndrainedError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrUndrained}
	}
	return []error{ErrUndrained, e.Err}
}

func (d *Drain) report(began time.Time, left *UndrainedError) error {
	took := time.Since(began).Round(time.Millisecond)
	if len(left.Players)+len(left.Unsaved)+left.Checkouts == 0 && left.Err == nil {
		d.log.Info("drained", "took", took.String())
		return nil
	}
	d.metrics.undrained.Add(float64(len(left.Players)))
	const most = 100
	for _, p := range left.Unsaved[:min(most, len(left.Unsaved))] {
		d.log.Error("player was released without a final save", "player", p.Player, "name", p.Name, "phase", p.Phase,
			"last-accepted", p.Version)
	}
	for _, p := range left.Players[:min(most, len(left.Players))] {
		d.log.Error("player was not drained", "player", p.Player, "name", p.Name, "phase", p.Phase,
			"checkout-left", p.Live, "not-in-database", p.Unstored, "last-accepted", p.Version)
	}
	d.log.Error("stopped before everything was drained; what is left in redis is cleared by the next run of this server",
		"players", len(left.Players), "without-final-save", len(left.Unsaved), "checkouts", left.Checkouts, "took", took.String())
	return left
}
