// Awsgen turns the service models in models/ into Go: for each service the
// types, the wire code, the constraint checks, one error value per exception, a
// Service interface with every operation in models/<service>.ops and the table
// that binds them; and docs/operations.md, which lists what is served.
//
// Run it with go generate ./... or, from the root of the repository,
// go run ./cmd/awsgen.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

//go:generate go run . -root ../..

var services = []string{"cognito-idp", "cognito-identity", "cognito-sync", "iam", "organizations", "sns", "sts"}

func main() {
	root := flag.String("root", ".", "root of the repository")
	flag.Parse()
	if err := run(*root); err != nil {
		fmt.Fprintln(os.Stderr, "awsgen:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	files, err := generate(root)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(root, filepath.FromSlash(name))
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, files[name]) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate returns every generated file by its path below the repository's root.
func generate(root string) (map[string][]byte, error) {
	models := filepath.Join(root, "models")
	files := map[string][]byte{}
	var all []*served
	for _, service := range services {
		m, err := readModel(models, service)
		if err != nil {
			return nil, err
		}
		ops, err := readOps(models, m)
		if err != nil {
			return nil, err
		}
		all = append(all, &served{m, ops})
		g := newGenerator(m, ops)
		for name, text := range g.files() {
			src, err := format(text)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", service, name, err)
			}
			files["internal/api/"+g.pkg+"/"+name] = src
		}
	}
	for _, protocol := range []string{"json", "query", "rest-json"} {
		code, err := vectors(root, protocol)
		if err != nil {
			return nil, err
		}
		maps.Copy(files, code)
	}
	files["docs/operations.md"] = operationsPage(all)
	return files, nil
}

// served is a service with the names of the operations that are served.
type served struct {
	*model
	ops []string
}
