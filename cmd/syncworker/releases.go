package main

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
)

// defaultLogged is how many releases are listed when nobody says.
const defaultLogged = 50

func releaseCheckoutCommand() *cli.Command {
	return &cli.Command{
		Name:      "release",
		Usage:     "free a player whom a server does not give back",
		ArgsUsage: "PLAYER --reason TEXT [--force]",
		Description: "The data stays as it was last saved, and the old session can no longer write. Players of a dead server need\n" +
			"none of this: whoever waits for them takes them over.\n\n" +
			"Refused while the server that has the player is alive: remove the player from it, or stop it. With --force it is\n" +
			"done all the same. What the player did there since the last accepted save is then lost to the player (a later save\n" +
			"is kept as a conflict, for people), and that server's game is told to remove the player.\n\n" +
			"Every release is recorded in the database before it is done; see: syncworker checkouts log.\n\n" + findingText +
			"\n\nExamples:\n  syncworker checkouts release 069a79f4-44e9-4726-a5be-fca90e38aaf5 --reason 'left over after a restore'" +
			"\n  syncworker checkouts release 069a79f4-44e9-4726-a5be-fca90e38aaf5 --force --reason 'survival-1 hangs'",
		Flags: append(workerFlags(),
			&cli.StringFlag{Name: "reason", Usage: "`TEXT` for the record, 1 to 256 bytes: why; must be given"},
			&cli.BoolFlag{Name: "force", Usage: "also while the server that has the player is alive"},
		),
		Action: releaseCheckout,
	}
}

func releaseLogCommand() *cli.Command {
	return &cli.Command{
		Name:      "log",
		Usage:     "list the releases that operators ordered, newest first",
		ArgsUsage: "[PLAYER]",
		Description: "Lists those of one player, or of all. Any worker of the cluster can answer: the record is in the database.\n" +
			"FORCED says that the server was alive. A release is recorded just before it is done; if the player changed hands in\n" +
			"that moment, it had no effect.\n\n" + findingText +
			"\n\nExample:\n  syncworker checkouts log 069a79f4-44e9-4726-a5be-fca90e38aaf5",
		Flags: append(workerFlags(), &cli.IntFlag{
			Name: "limit", Usage: "list `N` releases at most, 1 to 1000", Value: defaultLogged,
		}),
		Action: showReleases,
	}
}

func releaseCheckout(ctx context.Context, cmd *cli.Command) error {
	player, err := playerArgument(cmd)
	if err != nil {
		return err
	}
	reason := strings.TrimSpace(cmd.String("reason"))
	if reason == "" {
		return usage(cmd, "--reason is missing: say in a few words why, for the record")
	}
	w, err := findWorker(cmd)
	if err != nil {
		return err
	}
	request := &v1.ReleaseCheckoutRequest{
		PlayerId: player.String(), Reason: reason, Force: cmd.Bool("force"), OrderedBy: operator(),
	}
	released, err := call(ctx, w, w.ReleaseCheckout, request)
	if err != nil {
		return err
	}
	out := cmd.Root().Writer
	if cmd.Bool("json") {
		return writeMessage(out, released)
	}
	text := fmt.Sprintf("released %s, which %s had checked out (fence %d)", player, orDash(released.GetHolder()), released.GetFence())
	if released.GetForced() {
		text += fmt.Sprintf("\n%s is alive: its game is told to remove the player, and can save nothing more of this session",
			orDash(released.GetHolder()))
	}
	_, err = fmt.Fprintln(out, text)
	return err
}

// maxOperator is the longest name that the local API takes, in bytes.
const maxOperator = 48

// operator names the user who runs the command, behind sudo as well; empty when
// the system does not say.
func operator() string {
	name := os.Getenv("SUDO_USER")
	if name == "" {
		current, err := user.Current()
		if err != nil {
			return ""
		}
		name = current.Username
	}
	return cut(printable(name), maxOperator)
}

// cut keeps the beginning of a text.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}

func showReleases(ctx context.Context, cmd *cli.Command) error {
	limit := cmd.Int("limit")
	if limit < 1 || limit > 1000 {
		return usage(cmd, fmt.Sprintf("--limit is %d: want 1 to 1000", limit))
	}
	request := &v1.ListReleasesRequest{Limit: uint32(limit)}
	if cmd.Args().Present() {
		player, err := playerArgument(cmd)
		if err != nil {
			return err
		}
		request.PlayerId = player.String()
	}
	w, err := findWorker(cmd)
	if err != nil {
		return err
	}
	listed, err := call(ctx, w, w.ListReleases, request)
	if err != nil {
		return err
	}
	out := cmd.Root().Writer
	if cmd.Bool("json") {
		return writeMessage(out, listed)
	}
	if len(listed.GetReleases()) == 0 {
		_, err := fmt.Fprintln(out, "no releases")
		return err
	}
	rows := [][]string{{"AT", "PLAYER", "HOLDER", "FENCE", "FORCED", "BY", "REASON"}}
	for _, release := range listed.GetReleases() {
		rows = append(rows, []string{
			release.GetAt().AsTime().UTC().Format(time.RFC3339), release.GetPlayerId(), orDash(release.GetHolder()),
			strconv.FormatInt(release.GetFence(), 10), yesOrNo(release.GetForced()), orDash(release.GetBy()), orDash(release.GetReason()),
		})
	}
	return table(out, rows)
}

func yesOrNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}
