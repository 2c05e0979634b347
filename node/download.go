package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"daulat/ui/control"
)

// Bounds of a download.
const (
	maxDownload   = 1 << 40 // bytes
	downloadTries = 5       // in a row that bring nothing
	stallTime     = 30 * time.Second
	reportEvery   = 5 * time.Second
)

// downloadPause is the shortest wait before another try; tests make it shorter.
var downloadPause = time.Second / 4

// isURL tells a model's address from a file or a name.
func isURL(s string) bool {
	return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://")
}

// A download is one file on its way from a web server. What a broken connection
// leaves is gone on with, if the server says that the file is still the same.
type download struct {
	client *http.Client
	url    *url.URL
	file   *os.File
	have   int64
	size   int64 // 0: not known yet
	etag   string
	say    control.Progress
	said   time.Time
	pause  time.Duration // doubled with each failure in a row
}

// fetchURL downloads a file to path; what was there is replaced. With hash, the
// SHA-256 in hexadecimal, nothing else is taken for it.
func fetchURL(ctx context.Context, address, hash, path string, say control.Progress) error {
	u, err := checkURL(address, hash)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	client := &http.Client{CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > 10 {
			return errors.New("too many redirects")
		}
		_, err := checkURL(r.URL.String(), hash)
		return err
	}}
	d := &download{client: client, url: u, file: f, say: say, said: time.Now(), pause: downloadPause}
	if err := d.run(ctx); err != nil {
		return fmt.Errorf("download %s: %w", u.Redacted(), err)
	}
	if hash == "" {
		return nil
	}
	return checkHash(f, hash)
}

// checkURL admits https, and http on this machine or to a file whose hash is
// given: nobody between can then put another file in its place.
func checkURL(address, hash string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("model address: %w", err)
	}
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme != "https" && !(u.Scheme == "http" && (local || hash != "")) {
		return nil, control.WrongInput{Err: fmt.Errorf("model address %s: only https is taken, or plain http with --sha256, as anybody on the way could change the file", u.Redacted())}
	}
	return u, nil
}

func checkHash(f *os.File, want string) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); !strings.EqualFold(got, want) {
		return fmt.Errorf("the file has SHA-256 %s, not %s", got, want)
	}
	return nil
}

// errFinal is a failure that another try would not mend.
var errFinal = errors.New("the server refuses")

func (d *download) run(ctx context.Context) error {
	for failed := 0; ; {
		before := d.have
		err := d.try(ctx)
		if err == nil || ctx.Err() != nil || errors.Is(err, errFinal) {
			return errors.Join(err, ctx.Err())
		}
		if d.have > before {
			failed = 0
		}
		if failed++; failed == downloadTries {
			return err
		}
		d.say(fmt.Sprintf("the download broke off (%v); going on at %d MB", err, d.have>>20))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d.pause << failed):
		}
	}
}

// try asks for what is missing and appends what comes.
func (d *download) try(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	stalled := time.AfterFunc(stallTime, stop)
	defer stalled.Stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url.String(), nil)
	if err != nil {
		return err
	}
	if d.have > 0 && d.etag != "" {
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.have))
		r.Header.Set("If-Range", d.etag)
	}
	resp, err := d.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := d.begin(resp); err != nil {
		return err
	}
	return d.take(resp.Body, stalled)
}

// begin checks what the server is about to send, and goes to where it belongs.
func (d *download) begin(resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusPartialContent && d.have > 0 &&
		strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", d.have)):
		return nil
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500:
		return fmt.Errorf("the server says %s", resp.Status)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%w: %s", errFinal, resp.Status)
	case resp.ContentLength > maxDownload:
		return fmt.Errorf("%w: %d bytes are too many", errFinal, resp.ContentLength)
	}
	d.have, d.size, d.etag = 0, max(0, resp.ContentLength), resp.Header.Get("ETag")
	if strings.HasPrefix(d.etag, "W/") {
		d.etag = "" // the same meaning is not the same bytes
	}
	if err := d.file.Truncate(0); err != nil {
		return err
	}
	_, err := d.file.Seek(0, io.SeekStart)
	return err
}

func (d *download) take(body io.Reader, stalled *time.Timer) error {
	buffer := make([]byte, 1<<20)
	for {
		n, err := body.Read(buffer)
		stalled.Reset(stallTime)
		if _, failed := d.file.Write(buffer[:n]); failed != nil {
			return errors.Join(errFinal, failed)
		}
		if d.have += int64(n); d.have > maxDownload {
			return fmt.Errorf("%w: more than %d bytes", errFinal, int64(maxDownload))
		}
		if time.Since(d.said) > reportEvery {
			d.said = time.Now()
			d.say(fmt.Sprintf("%d of %d MB", d.have>>20, d.size>>20))
		}
		if err == io.EOF && (d.size == 0 || d.have == d.size) {
			return d.file.Sync()
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
}
