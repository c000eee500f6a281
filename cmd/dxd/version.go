package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

type versionJSON struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print which dxd this is",
		Args:  cobra.NoArgs,
		RunE: a.do(func(*cobra.Command, []string) error {
			v := version()
			return a.print(v, field{"version", v.Version}, field{"commit", v.Commit}, field{"go", v.Go})
		}),
	}
}

// version is what the go command wrote into the binary.
func version() versionJSON {
	v := versionJSON{Version: "(devel)", Commit: "unknown", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	modified := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			v.Commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "+modified"
		}
	}
	v.Commit += modified
	return v
}
