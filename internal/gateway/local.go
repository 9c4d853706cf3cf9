package gateway

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// LocalConfig says how to run the store of objects on this machine.
type LocalConfig struct {
	// Binary is the path of usher-s3. Empty: beside the running executable, or else in PATH.
	Binary string
	// DataDir holds the buckets (s3), beneath it, and the socket if its path is short enough.
	DataDir string
	// Region is what the gateway signs for. Empty: us-east-1.
	Region string
	Log    *slog.Logger
}

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second
	maxSocket    = 100 // bytes; the kernel takes 107
)

// StartLocal runs usher-s3 as a child and returns it as an upstream when it is ready. The child listens on a unix
// socket that only this user can open, with a random key that only this process has, and dies with this process. If it
// dies alone it is started again. stop ends it and returns when it is gone.
func StartLocal(ctx context.Context, c LocalConfig) (u Upstream, stop func(), err error) {
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	if c.Binary, err = findBinary(c.Binary); err != nil {
		return Upstream{}, nil, err
	}
	data, err := filepath.Abs(c.DataDir)
	if err != nil {
		return Upstream{}, nil, err
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return Upstream{}, nil, err
	}
	socket, remove := filepath.Join(data, "s3.sock"), func() {}
	if len(socket) > maxSocket {
		dir, err := os.MkdirTemp("", "usher-s3-")
		if err != nil {
			return Upstream{}, nil, err
		}
		socket, remove = filepath.Join(dir, "s3.sock"), func() { os.RemoveAll(dir) }
	}
	l := &local{
		binary:   c.Binary,
		args:     []string{"-socket", socket, "-data", data, "-region", c.Region},
		upstream: Upstream{URL: "http://usher-s3", Socket: socket, AccessKeyID: rand.Text(), SecretAccessKey: rand.Text() + rand.Text(), Region: c.Region, OpaqueKeys: true},
		log:      c.Log,
		started:  make(chan struct{}),
		done:     make(chan struct{}),
	}
	running, cancel := context.WithCancel(context.Background())
	go l.supervise(running)
	stop = sync.OnceFunc(func() {
		cancel()
		<-l.done
		remove()
	})
	select {
	case <-l.started:
		return l.upstream, stop, nil
	case <-time.After(startTimeout):
		err = errors.New("it was not ready in time")
	case <-ctx.Done():
		err = ctx.Err()
	}
	stop()
	return Upstream{}, nil, fmt.Errorf("gateway: starting %s: %w", c.Binary, errors.Join(err, l.last))
}

func findBinary(path string) (string, error) {
	if path != "" {
		path, err := filepath.Abs(path)
		if err != nil {
			return "", err
		}
		return exec.LookPath(path)
	}
	if exe, err := os.Executable(); err == nil {
		if exe, err = filepath.EvalSymlinks(exe); err == nil {
			path = filepath.Join(filepath.Dir(exe), "usher-s3")
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				return path, nil
			}
		}
	}
	path, err := exec.LookPath("usher-s3")
	if err != nil {
		return "", errors.New("gateway: usher-s3, the local object store, is neither beside the usher executable nor in PATH")
	}
	return filepath.Abs(path)
}

// local is a supervised child.
type local struct {
	binary   string
	args     []string
	upstream Upstream
	log      *slog.Logger
	started  chan struct{} // closed when the first child is ready
	done     chan struct{} // closed when the supervisor has ended
	once     sync.Once
	last     error // why the last child ended; belongs to the supervisor until done
}

// supervise keeps one child running, with pauses that grow while it does not stay.
func (l *local) supervise(ctx context.Context) {
	defer close(l.done)
	const least, most = 100 * time.Millisecond, 5 * time.Second
	pause := least
	for {
		began := time.Now()
		l.last = l.run(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > most {
			pause = least
		}
		l.log.Error("local object store ended", "error", l.last, "restart_in", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, most)
	}
}

// run runs one child until it ends or ctx does.
func (l *local) run(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, l.binary, l.args...)
	cmd.Env = []string{"TMPDIR=" + os.TempDir()}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	defer stdin.Close() // the child takes the end of its input for the end of its parent
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if _, err := io.WriteString(stdin, l.upstream.AccessKeyID+"\n"+l.upstream.SecretAccessKey+"\n"); err != nil {
		return errors.Join(err, cmd.Wait())
	}
	var readers sync.WaitGroup
	readers.Go(func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if lines.Text() == "ready" {
				l.log.Info("local object store ready", "pid", cmd.Process.Pid)
				l.once.Do(func() { close(l.started) })
			}
		}
	})
	var said string
	readers.Go(func() {
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			said = lines.Text()
			l.log.Warn("local object store", "says", said)
		}
	})
	readers.Wait()
	err = cmd.Wait()
	if said != "" {
		err = errors.Join(err, errors.New(said))
	}
	return err
}
