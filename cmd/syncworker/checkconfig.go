package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/syncworker/syncworker/internal/config"
	"github.com/syncworker/syncworker/internal/localapi"
)

func checkConfigCommand() *cli.Command {
	return &cli.Command{
		Name:  "check-config",
		Usage: "check a configuration and show what is in force",
		Description: "Reads the file, the SYNCWORKER_ variables and the files that keys name, and shows every value with where it\n" +
			"comes from. Touches neither Redis nor the database. Exit code 2 when something is wrong; then all problems\n" +
			"are listed.",
		Flags:  []cli.Flag{configFlag(), jsonFlag()},
		Action: checkConfig,
	}
}

func checkConfig(_ context.Context, cmd *cli.Command) error {
	if err := noArguments(cmd); err != nil {
		return err
	}
	settings, err := config.Load(config.Source{File: cmd.String("config")})
	if err == nil {
		err = checkFiles(settings)
	}
	out := cmd.Root().Writer
	switch {
	case cmd.Bool("json"):
		return writeCheck(out, settings, err)
	case err != nil:
		return err
	}
	rows := [][]string{{"KEY", "FROM", "VALUE"}}
	for _, setting := range settings.Settings() {
		rows = append(rows, []string{setting.Key, setting.Origin, setting.Value})
	}
	if err := table(out, rows); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, "\nno problems")
	return err
}

// checkFiles reads every file that the configuration names, as run will.
func checkFiles(settings config.Config) error {
	if err := settings.CheckFiles(); err != nil {
		return err
	}
	if settings.API.TokenFile == "" {
		return nil
	}
	if err := localapi.CheckToken(settings.API.TokenFile); err != nil {
		return fmt.Errorf("api.token_file: %w", err)
	}
	return nil
}

// checked is what check-config --json prints.
type checked struct {
	OK       bool             `json:"ok"`
	Settings []checkedSetting `json:"settings"`
	Problems []config.Problem `json:"problems"`
}

type checkedSetting struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
	From  string          `json:"from"`
}

// writeCheck prints the result of a check, and returns its error as reported.
func writeCheck(out io.Writer, settings config.Config, failure error) error {
	result := checked{OK: failure == nil, Settings: []checkedSetting{}, Problems: []config.Problem{}}
	if refused, ok := errors.AsType[*config.Error](failure); ok {
		result.Problems = refused.Problems
	}
	if result.OK {
		for _, setting := range settings.Settings() {
			result.Settings = append(result.Settings, checkedSetting{setting.Key, json.RawMessage(setting.Value), setting.Origin})
		}
	}
	if err := writeJSON(out, result); err != nil {
		return err
	}
	if failure != nil {
		return fmt.Errorf("%w: %w", errReported, failure)
	}
	return nil
}
