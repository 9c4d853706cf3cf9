// Command usher-s3 is the object store that "usher serve" starts when no other
// S3 upstream is configured: versitygw's embeddable S3 server over a directory,
// listening on a unix socket.
//
// It is a child by design. The access key and the secret are the first two
// lines of standard input, and the end of standard input is the order to stop,
// so the store dies with its parent however the parent dies.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/pkg/xattr"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
	"github.com/versity/versitygw/s3api"
)

func main() {
	if err := run(os.Args[1:], os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "usher-s3:", err)
		os.Exit(1)
	}
}

func run(args []string, stdin io.Reader) error {
	flags := flag.NewFlagSet("usher-s3", flag.ContinueOnError)
	socket := flags.String("socket", "", "unix socket to listen on, an absolute `path`")
	data := flags.String("data", "", "`directory` that holds the buckets (s3) and, where the file system has no extended attributes, their metadata (sidecar-s3)")
	region := flags.String("region", "us-east-1", "AWS `region` that requests are signed for")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if !filepath.IsAbs(*socket) || *data == "" || flags.NArg() > 0 {
		return errors.New("usage: usher-s3 -socket PATH -data DIR [-region REGION], access key and secret on standard input")
	}

	in := bufio.NewReader(io.LimitReader(stdin, 4096))
	access, err := readLine(in)
	if err != nil {
		return fmt.Errorf("reading the access key: %w", err)
	}
	secret, err := readLine(in)
	if err != nil {
		return fmt.Errorf("reading the secret key: %w", err)
	}

	store, err := openStore(*data)
	if err != nil {
		return err
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() {
		io.Copy(io.Discard, stdin) // ends when the parent closes the pipe or dies
		stop()
	}()
	syscall.Umask(0o077)
	return embedgw.RunVersityGW(ctx, store, &embedgw.Config{
		RootUserAccess:    access,
		RootUserSecret:    secret,
		Region:            *region,
		Ports:             []string{*socket},
		SocketPerm:        "0600",
		MaxConnections:    16384,
		MaxRequests:       16384,
		MultipartMaxParts: 10000,
		KeepAlive:         true,
		Quiet:             true,
		DisableACLs:       true,
		S3Options:         []s3api.Option{s3api.WithOnListen(func() { fmt.Fprintln(os.Stdout, "ready") })},
	})
}

func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(line, "\n"), nil
}

// openStore opens the buckets below dir. Object metadata goes to extended
// attributes where the file system has them, else to a sidecar directory; what
// was chosen first stays, since the objects already there depend on it.
func openStore(dir string) (*store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	buckets, sidecar := filepath.Join(dir, "s3"), filepath.Join(dir, "sidecar-s3")
	fresh := os.MkdirAll(dir, 0o700) == nil && os.Mkdir(buckets, 0o700) == nil
	if fresh && !hasXattr(buckets) {
		if err := os.Mkdir(sidecar, 0o700); err != nil {
			return nil, err
		}
	}
	var storer meta.MetadataStorer = meta.XattrMeta{}
	reserved := []string{posix.MetaTmpDir}
	if _, err := os.Stat(sidecar); err == nil {
		if storer, err = meta.NewSideCar(sidecar); err != nil {
			return nil, err
		}
		reserved = append(reserved, "meta") // the sidecar's own folder beside each object
	}
	opts := posix.PosixOpts{CopyObjectThreshold: 5 << 30} // S3's own limit
	opts.SetNewDirPerm(0o700)
	opts.SetNewFilePerm(0o600)
	p, err := posix.New(buckets, storer, opts)
	if err != nil {
		return nil, err
	}
	return &store{p: p, names: newNames(reserved...)}, nil
}

func hasXattr(dir string) bool {
	return xattr.Set(dir, "user.usher-s3", []byte("1")) == nil
}
