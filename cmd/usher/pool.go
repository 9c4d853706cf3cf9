package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"usher/internal/userpool"
)

func poolSet(in *invocation, fs *flag.FlagSet) func([]string) error {
	var change userpool.FrozenChange
	boolFlag(fs, &change.CaseSensitive, "case-sensitive", "whether usernames and aliases that differ in case are different")
	fs.Func("aliases", "attributes that users can sign in with beside the username: email (verified), phone_number (verified), preferred_username, comma separated; \"\" for none", func(text string) error {
		list := strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
		change.Aliases = &list
		return nil
	})
	return func(args []string) error { return changePool(in, args[0], change) }
}

func poolAttribute(in *invocation, fs *flag.FlagSet) func([]string) error {
	var change userpool.AttributeChange
	boolFlag(fs, &change.Mutable, "mutable", "whether its value can be changed")
	boolFlag(fs, &change.Required, "required", "whether who signs up must have a value; every user must have one already")
	textFlag(fs, &change.Min, "min", "shortest length of a string, least value of a number")
	textFlag(fs, &change.Max, "max", "longest length of a string, greatest value of a number")
	fs.BoolVar(&change.Remove, "remove", false, "remove the attribute, a custom one that no user has a value of")
	fs.BoolVar(&change.Discard, "discard", false, "with --remove: delete the values that users have")
	return func(args []string) error {
		change.Name = args[1]
		return changePool(in, args[0], userpool.FrozenChange{Attribute: &change})
	}
}

func changePool(in *invocation, pool string, change userpool.FrozenChange) error {
	users, err := in.control().ChangePool(in.ctx, pool, change)
	if err == nil {
		fmt.Fprintf(in.out, "changed, and with it what is stored of %d users\n", users)
	}
	return err
}

// boolFlag defines a flag that is true, false or not given.
func boolFlag(fs *flag.FlagSet, to **bool, name, usage string) {
	fs.BoolFunc(name, usage, func(text string) error {
		value, err := strconv.ParseBool(text)
		*to = &value
		return err
	})
}

// textFlag defines a flag that need not be given.
func textFlag(fs *flag.FlagSet, to **string, name, usage string) {
	fs.Func(name, usage, func(text string) error {
		*to = &text
		return nil
	})
}

func poolRecoveryCodes(in *invocation, _ *flag.FlagSet) func([]string) error {
	return func(args []string) error {
		codes, err := in.control().RecoveryCodes(in.ctx, args[0], args[1])
		for _, code := range codes {
			fmt.Fprintln(in.out, code)
		}
		return err
	}
}

func poolExport(in *invocation, fs *flag.FlagSet) func([]string) error {
	name := fs.String("out", "", "file to make, readable by its owner only; with more users than an import job takes also FILE-2 and so on; - for standard output (default POOL.csv)")
	algorithm := fs.String("algorithm", "ARGON2ID", "which hashes to export: ARGON2ID, or those that imported users still have: BCRYPT, SCRYPT, PBKDF2_SHA256")
	return func(args []string) error {
		out := &exportFiles{name: cmp.Or(*name, args[0]+".csv"), stdout: in.out}
		err := exportUsers(in, out, args[0], *algorithm)
		if closed := out.close(); err == nil {
			err = closed
		}
		return err
	}
}

// exportUsers writes the users of a pool and says what became of them.
func exportUsers(in *invocation, out *exportFiles, pool, algorithm string) error {
	var hashes, left int
	for after := ""; ; {
		page, err := in.control().ExportUsers(in.ctx, pool, algorithm, after)
		if err != nil {
			return err
		}
		out.header = page.Header
		if err := out.write(page.Rows); err != nil {
			return err
		}
		for _, n := range page.LeftOut {
			fmt.Fprintf(in.logs, "left out: %s %s\n", n.Username, n.Why)
		}
		for _, n := range page.Refused {
			fmt.Fprintf(in.logs, "an import job of this pool would refuse %s: %s\n", n.Username, n.Why)
		}
		hashes, left = hashes+page.Hashes, left+len(page.LeftOut)
		if after = page.Next; after == "" {
			break
		}
	}
	fmt.Fprintf(in.logs, "%d users, %d of them with the hash of a password; %d left out\n", out.total, hashes, left)
	if hashes < out.total {
		fmt.Fprintf(in.logs, "users without a hash must reset their passwords; the tag usher:password-storage keeps hashes from now on\n")
	}
	return nil
}

// exportFiles are the files that are written, one after the other, none larger than an import job takes.
type exportFiles struct {
	name, header string
	stdout       io.Writer

	file        *os.File // nil: none yet
	files       int
	rows, bytes int // in the file
	total       int
}

func (e *exportFiles) write(rows []string) error {
	if e.name == "-" {
		if e.total == 0 && e.files == 0 {
			e.files = 1
			fmt.Fprintln(e.stdout, e.header)
		}
		e.total += len(rows)
		for _, row := range rows {
			if _, err := fmt.Fprintln(e.stdout, row); err != nil {
				return err
			}
		}
		return nil
	}
	if e.file == nil {
		if err := e.next(); err != nil {
			return err
		}
	}
	var text strings.Builder
	flush := func() error {
		_, err := e.file.WriteString(text.String())
		text.Reset()
		return err
	}
	for _, row := range rows {
		if e.rows == userpool.ImportMostRows || e.bytes+len(row)+1 > userpool.ImportMostBytes {
			if err := flush(); err != nil {
				return err
			}
			if err := e.next(); err != nil {
				return err
			}
		}
		text.WriteString(row + "\n")
		e.rows, e.bytes, e.total = e.rows+1, e.bytes+len(row)+1, e.total+1
	}
	return flush()
}

// next begins a file, which must not be there yet.
func (e *exportFiles) next() error {
	if err := e.close(); err != nil {
		return err
	}
	e.files++
	name := e.name
	if e.files > 1 {
		ext := filepath.Ext(name)
		name = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(name, ext), e.files, ext)
	}
	var err error
	if e.file, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return err
	}
	e.rows, e.bytes = 0, len(e.header)+1
	_, err = fmt.Fprintln(e.file, e.header)
	return err
}

// close ends the file under way, once it is on the disk.
func (e *exportFiles) close() error {
	if e.file == nil {
		return nil
	}
	file := e.file
	e.file = nil
	if err := file.Sync(); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}
