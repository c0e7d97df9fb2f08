package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v3"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/config"
)

// Texts that several commands share.
const (
	findingText = "The worker is found where --api says, else where the configuration says: give the -config that it runs with."

	rootText = "One worker runs beside each game server. When a player moves from one server to another, the workers hand the\n" +
		"player's data over through Redis.\n\n" +
		"Examples:\n" +
		"  syncworker check-config -config survival-1.hcl\n" +
		"  syncworker run -config survival-1.hcl\n" +
		"  syncworker status -config survival-1.hcl\n" +
		"  syncworker players --api unix:///run/syncworker/survival-1.sock --json\n" +
		"  syncworker checkouts get 069a79f4-44e9-4726-a5be-fca90e38aaf5 -config survival-1.hcl\n\n" +
		"Flags may be written with one dash or with two. Every key of the configuration can be set by a variable as well:\n" +
		"sync.wait_timeout by SYNCWORKER_SYNC__WAIT_TIMEOUT.\n\n" +
		"Exit codes:\n" +
		"  0  done\n" +
		"  1  failed: the text on standard error says why\n" +
		"  2  the command line or the configuration is wrong\n" +
		"  3  the worker stopped before every player was drained; the log names them\n" +
		"  130  a second signal ended the worker at once; what it held is cleared at its next start"
)

// execute runs the program and returns its exit code.
func execute(ctx context.Context, args []string, out, errOut io.Writer) int {
	return report(errOut, newRoot(out, errOut).Run(ctx, args))
}

// newRoot returns the tree of commands.
func newRoot(out, errOut io.Writer) *cli.Command {
	root := &cli.Command{
		Name:        "syncworker",
		Usage:       "hands players' data from one game server to the next",
		Description: rootText,
		Writer:      out,
		ErrWriter:   errOut,
		Commands:    []*cli.Command{runCommand(), demoCommand(), statusCommand(), playersCommand(), checkoutsCommand(), checkConfigCommand(), versionCommand()},
		Action:      noSuchCommand,
		// The exit code is decided in one place, after everything returned.
		ExitErrHandler: func(context.Context, *cli.Command, error) {},
	}
	asUsage := func(_ context.Context, cmd *cli.Command, err error, _ bool) error { return usage(cmd, err.Error()) }
	visit(root, func(cmd *cli.Command) { cmd.OnUsageError = asUsage })
	return root
}

// visit calls do for a command and all below it.
func visit(cmd *cli.Command, do func(*cli.Command)) {
	do(cmd)
	for _, inner := range cmd.Commands {
		visit(inner, do)
	}
}

func configFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "config", Usage: "configuration `FILE`; without it, variables and defaults count",
		Sources: cli.EnvVars(config.FileVariable),
	}
}

func jsonFlag() cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print JSON, for programs"}
}

// workerFlags are the flags of the commands that talk to a running worker.
func workerFlags() []cli.Flag {
	return []cli.Flag{
		configFlag(),
		&cli.StringFlag{Name: "api", Usage: "`ADDRESS` of the worker, unix:///path or tcp://host:port, instead of the configuration's"},
		&cli.StringFlag{
			Name: "token-file", Usage: "`FILE` that holds the bearer token, instead of api.token_file",
			Sources: cli.EnvVars(config.Variable("api.token_file")),
		},
		jsonFlag(),
	}
}

// usage is an error about the command line of cmd.
func usage(cmd *cli.Command, text string) error {
	return &usageError{text: text, command: cmd.FullName()}
}

// noArguments refuses arguments where there are none to give.
func noArguments(cmd *cli.Command) error {
	if cmd.Args().Present() {
		return usage(cmd, fmt.Sprintf("unexpected argument %q", cmd.Args().First()))
	}
	return nil
}

// noSuchCommand is the action of commands that only group others.
func noSuchCommand(_ context.Context, cmd *cli.Command) error {
	if !cmd.Args().Present() {
		return cli.ShowSubcommandHelp(cmd)
	}
	name := cmd.Args().First()
	text := fmt.Sprintf("unknown command %q", name)
	if meant := cli.SuggestCommand(cmd.Commands, name); meant != "" {
		text += fmt.Sprintf(": did you mean %q?", meant)
	}
	return usage(cmd, text)
}

// reasonName is a reason without the prefix that protobuf asks for.
func reasonName(reason v1.ErrorReason) string {
	return strings.TrimPrefix(reason.String(), "ERROR_REASON_")
}
