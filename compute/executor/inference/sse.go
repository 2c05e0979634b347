package inference

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxEvent bounds one server-sent event, in bytes.
const maxEvent = 1 << 20

// errStreamEnd says that a stream ended before its last event.
var errStreamEnd = errors.New("the stream ended before the answer did")

// readEvents calls each with the data of one server-sent event after the other,
// until it returns that the last one was there, or an error. Names, numbers and
// comments of events are passed over. The reader bounds the whole.
func readEvents(r io.Reader, each func(data []byte) (last bool, err error)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4<<10), maxEvent)
	var data []byte
	some := false
	for lines.Scan() {
		line := lines.Bytes() // without its end, of either kind
		if field, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			if some {
				data = append(data, '\n')
			}
			data, some = append(data, bytes.TrimPrefix(field, []byte(" "))...), true
			if len(data) > maxEvent {
				return fmt.Errorf("an event is longer than %d bytes", maxEvent)
			}
			continue
		}
		if len(line) > 0 || !some {
			continue
		}
		last, err := each(data)
		if err != nil || last {
			return err
		}
		data, some = data[:0], false
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return errStreamEnd
}
