package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v3"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
)

func statusCommand() *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "show how a running worker is",
		Description: "Shows whether the worker holds its lease, reaches Redis and the database, hears events, has a game\n" +
			"attached, and how many players it has in which phase. While saves are on the local disk only, it says how many.\n\n" + findingText,
		Flags:  workerFlags(),
		Action: showStatus,
	}
}

func showStatus(ctx context.Context, cmd *cli.Command) error {
	if err := noArguments(cmd); err != nil {
		return err
	}
	w, err := findWorker(cmd)
	if err != nil {
		return err
	}
	status, err := call(ctx, w, w.GetStatus, &v1.GetStatusRequest{})
	if err != nil {
		return err
	}
	if cmd.Bool("json") {
		return writeMessage(cmd.Root().Writer, status)
	}
	return table(cmd.Root().Writer, describeStatus(status, time.Now()))
}

// describeStatus returns a line for each thing that is always of interest, and
// for the spool when there is something in it.
func describeStatus(status *v1.GetStatusResponse, now time.Time) [][]string {
	rows := [][]string{
		{"server", fmt.Sprintf("%s (cluster %s, mode %s)", status.GetServerId(), status.GetClusterId(), status.GetMode())},
		{"worker", fmt.Sprintf("version %s, up %s, incarnation %s",
			status.GetVersion(), roughly(status.GetUptime().AsDuration()), status.GetIncarnation())},
		{"lease", describeLease(status)},
		{"redis", describeHealth(status.GetRedis())},
		{"events", describeEvents(status.GetEvents())},
		{"database", describeDatabase(status)},
		{"game", describeGame(status.GetGame())},
		{"joins", describeJoins(status, now)},
		{"players", describePhases(status.GetSessionsByPhase())},
	}
	if spool := status.GetSpool(); spool.GetEntries() > 0 {
		rows = append(rows, []string{"spool", describeSpool(spool)})
	}
	if left := status.GetSpool().GetRecovering(); left > 0 {
		rows = append(rows, []string{"recovery", fmt.Sprintf(
			"%s of an earlier run still to be replayed; joins of their players wait for that", counted(left, "save"))})
	}
	return rows
}

func describeLease(status *v1.GetStatusResponse) string {
	switch {
	case status.GetLeaseRestarting():
		return "kept for the restart in place that is under way"
	case status.GetLeaseSuspect():
		return "SUSPECT: it had ended; each session is looked at before anything of it is saved"
	case status.GetLeaseHeld():
		return "held"
	default:
		return "MISSING: redis does not say that this worker lives"
	}
}

// describeDatabase puts the last answer and what the worker does about it
// together.
func describeDatabase(status *v1.GetStatusResponse) string {
	reads, writes := status.GetDatabaseReadsPaused(), status.GetDatabaseWritesPaused()
	text := describeHealth(status.GetDatabase())
	if status.GetDatabase().GetOk() && (reads || writes) {
		text = "NOT OK: it did not answer in time, and is tried again"
	}
	if reads {
		text += "; joins do without it where redis has the data, the others are REFUSED"
	}
	if writes {
		text += "; saves go to the spool"
	}
	return text
}

func describeSpool(spool *v1.SpoolHealth) string {
	text := fmt.Sprintf("%s (%s) on local disk only until redis and the database take them",
		counted(spool.GetEntries(), "save"), humanize.IBytes(spool.GetBytes()))
	if most := spool.GetMaxBytes(); most > 0 {
		text += fmt.Sprintf(", %d%% of spool.max_size", spool.GetBytes()*100/most)
	}
	return text
}

func counted(count uint64, what string) string {
	if count == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", count, what)
}

func describeHealth(health *v1.Health) string {
	switch {
	case health == nil:
		return "unknown"
	case health.GetOk():
		return "ok"
	default:
		return "NOT OK: " + orDash(health.GetProblem())
	}
}

func describeEvents(events *v1.EventHealth) string {
	switch events.GetLevel() {
	case v1.EventLevel_EVENT_LEVEL_EVENTS:
		return "ok"
	case v1.EventLevel_EVENT_LEVEL_POLLING:
		return "NOT OK, looking every sync.safety_poll instead: " + orDash(events.GetReason())
	case v1.EventLevel_EVENT_LEVEL_UNSPECIFIED:
		return "not known yet"
	default:
		return "unknown"
	}
}

func describeGame(game *v1.Game) string {
	if !game.GetAttached() {
		return "NOT ATTACHED"
	}
	text := "attached"
	if name := strings.TrimSpace(game.GetPlatform() + " " + game.GetGameVersion()); name != "" {
		text += ": " + printable(name)
	}
	return text + ", boot " + orDash(game.GetBootId())
}

func describeJoins(status *v1.GetStatusResponse, now time.Time) string {
	switch {
	case status.GetDraining():
		return "REFUSED: the worker is stopping"
	case status.GetSettleUntil() != nil && status.GetSettleUntil().AsTime().After(now):
		return fmt.Sprintf("granted in %s: the worker waits for the other servers after a start or an outage",
			roughly(status.GetSettleUntil().AsTime().Sub(now)))
	case !status.GetGame().GetAttached():
		return "refused until a game attaches"
	default:
		return "granted"
	}
}

func describePhases(phases map[string]uint32) string {
	var total uint32
	var parts []string
	for _, phase := range slices.Sorted(maps.Keys(phases)) {
		total += phases[phase]
		parts = append(parts, fmt.Sprintf("%d %s", phases[phase], phase))
	}
	if total == 0 {
		return "none"
	}
	return fmt.Sprintf("%d: %s", total, strings.Join(parts, ", "))
}
