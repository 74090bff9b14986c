package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/mattn/go-sqlite3"
	"github.com/spf13/cobra"
)

func newVersion() *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Version, build settings, SQLite version", Args: noArguments}
	asJSON := cmd.Flags().Bool("json", false, "write JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		v := buildVersion()
		if *asJSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(v)
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "gaugeway %s\n%s %s/%s\nSQLite %s\n%v\n", v.Version, v.Go, v.OS, v.Arch, v.SQLite, v.Settings)
		return err
	}
	return cmd
}

type versionInfo struct {
	Version  string            `json:"version"`
	Go       string            `json:"go"`
	OS       string            `json:"os"`
	Arch     string            `json:"arch"`
	SQLite   string            `json:"sqlite"`
	Settings map[string]string `json:"settings"`
}

func buildVersion() versionInfo {
	sqlite, _, _ := sqlite3.Version()
	v := versionInfo{Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, SQLite: sqlite, Settings: map[string]string{}}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			v.Settings[s.Key] = s.Value
		}
	}
	return v
}
