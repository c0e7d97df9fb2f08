package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/urfave/cli/v3"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
)

// pageSize is the number of sessions asked for at a time.
const pageSize = 5_000

func playersCommand() *cli.Command {
	return &cli.Command{
		Name:  "players",
		Usage: "list the players a running worker has, waits for or still writes",
		Description: "FOR is how long the player has waited or stayed; UNSTORED counts accepted saves that the database does not\n" +
			"have yet; WAITS FOR is the server that has the player.\n\n" + findingText,
		Flags:  workerFlags(),
		Action: showPlayers,
	}
}

func showPlayers(ctx context.Context, cmd *cli.Command) error {
	if err := noArguments(cmd); err != nil {
		return err
	}
	w, err := findWorker(cmd)
	if err != nil {
		return err
	}
	sessions, err := listSessions(ctx, w)
	if err != nil {
		return err
	}
	out := cmd.Root().Writer
	if cmd.Bool("json") {
		return writeMessage(out, &v1.ListSessionsResponse{Sessions: sessions})
	}
	if len(sessions) == 0 {
		_, err := fmt.Fprintln(out, "no players")
		return err
	}
	rows := [][]string{{"PLAYER", "NAME", "PHASE", "FOR", "VERSION", "UNSTORED", "WAITS FOR"}}
	for _, session := range sessions {
		rows = append(rows, []string{
			session.GetPlayerId(), orDash(session.GetPlayerName()), session.GetPhase(),
			since(session), formatVersion(session.GetVersion()), strconv.FormatUint(uint64(session.GetUnstored()), 10),
			orDash(session.GetWaitsFor()),
		})
	}
	return table(out, rows)
}

// listSessions collects all pages.
func listSessions(ctx context.Context, w *remote) ([]*v1.Session, error) {
	var sessions []*v1.Session
	request := &v1.ListSessionsRequest{PageSize: pageSize}
	for {
		page, err := call(ctx, w, w.ListSessions, request)
		if err != nil {
			return nil, err
		}
		sessions = append(sessions, page.GetSessions()...)
		if page.GetNextPageToken() == "" {
			return sessions, nil
		}
		request.PageToken = page.GetNextPageToken()
	}
}

func since(session *v1.Session) string {
	if session.GetSince() == nil {
		return "-"
	}
	return roughly(max(0, time.Since(session.GetSince().AsTime())))
}

func formatVersion(version *v1.Version) string {
	if version == nil {
		return "-"
	}
	return fmt.Sprintf("%d/%d", version.GetFence(), version.GetSequence())
}
