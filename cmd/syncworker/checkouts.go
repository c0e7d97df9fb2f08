package main

import (
	"context"
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v3"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/handoff"
)

func checkoutsCommand() *cli.Command {
	return &cli.Command{
		Name:     "checkouts",
		Usage:    "show or free the checkout of one player, list what was freed",
		Commands: []*cli.Command{getCheckoutCommand(), releaseCheckoutCommand(), releaseLogCommand()},
		Action:   noSuchCommand,
	}
}

func getCheckoutCommand() *cli.Command {
	return &cli.Command{
		Name:      "get",
		Usage:     "show who has a player checked out",
		ArgsUsage: "PLAYER",
		Description: "PLAYER is a UUID, with or without dashes. Any worker of the cluster can answer.\n\n" +
			findingText + "\n\nExample:\n  syncworker checkouts get 069a79f4-44e9-4726-a5be-fca90e38aaf5",
		Flags:  workerFlags(),
		Action: getCheckout,
	}
}

func getCheckout(ctx context.Context, cmd *cli.Command) error {
	player, err := playerArgument(cmd)
	if err != nil {
		return err
	}
	w, err := findWorker(cmd)
	if err != nil {
		return err
	}
	checkout, err := call(ctx, w, w.GetCheckout, &v1.GetCheckoutRequest{PlayerId: player.String()})
	if err != nil {
		return err
	}
	if cmd.Bool("json") {
		return writeMessage(cmd.Root().Writer, checkout)
	}
	return table(cmd.Root().Writer, [][]string{
		{"player", checkout.GetPlayerId()},
		{"checked out by", describeHolder(checkout)},
		{"fence", describeFence(checkout.GetFence())},
		{"data in redis", describeUpdate(checkout.GetUpdate())},
		{"on this worker", describeSession(checkout.GetSession())},
	})
}

// playerArgument reads the only argument, a player's UUID.
func playerArgument(cmd *cli.Command) (handoff.PlayerID, error) {
	if cmd.Args().Len() != 1 {
		return handoff.PlayerID{}, usage(cmd, fmt.Sprintf("want one PLAYER, got %d", cmd.Args().Len()))
	}
	text := cmd.Args().First()
	player, err := handoff.ParsePlayerID(text)
	if err != nil {
		return handoff.PlayerID{}, usage(cmd, fmt.Sprintf("%q is not a player's UUID: syncworker players lists them", text))
	}
	return player, nil
}

func describeHolder(checkout *v1.GetCheckoutResponse) string {
	if checkout.GetHolder() == "" {
		return "nobody"
	}
	lease := checkout.GetHolderLease()
	if lease == nil {
		return checkout.GetHolder() + ", which is DEAD: it has no lease"
	}
	state := "alive"
	if lease.GetRestarting() {
		state = "RESTARTING, expected back"
	}
	text := fmt.Sprintf("%s, %s: its lease lasts %s more", checkout.GetHolder(), state, roughly(lease.GetExpiresIn().AsDuration()))
	if lease.GetHost() != "" {
		text += fmt.Sprintf(" (host %s, pid %d)", printable(lease.GetHost()), lease.GetPid())
	}
	return text
}

func describeFence(fence int64) string {
	if fence == 0 {
		return "none: redis does not know this player"
	}
	return fmt.Sprint(fence)
}

func describeUpdate(update *v1.StoredUpdate) string {
	if update == nil {
		return "none"
	}
	if update.GetVersion().GetFence() == 0 {
		return fmt.Sprintf("DAMAGED: %s that are no snapshot; joins are refused until an operator decides, see docs/operations.md",
			humanize.IBytes(uint64(max(0, update.GetSize()))))
	}
	stays := "until the database has it"
	if update.GetExpiresIn() != nil {
		stays = "for " + roughly(update.GetExpiresIn().AsDuration())
	}
	return fmt.Sprintf("version %s, %s, stays %s",
		formatVersion(update.GetVersion()), humanize.IBytes(uint64(max(0, update.GetSize()))), stays)
}

func describeSession(session *v1.Session) string {
	if session == nil {
		return "no"
	}
	text := session.GetPhase()
	if session.GetPlayerName() != "" {
		text += " as " + printable(session.GetPlayerName())
	}
	text += " for " + since(session)
	if session.GetWaitsFor() != "" {
		text += ", waits for " + session.GetWaitsFor()
	}
	return text
}
