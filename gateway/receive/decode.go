package receive

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"github.com/gaugeway/gaugeway/gateway/codec"
)

// Decode reads lines "topic<TAB>base64 payload" and writes the records of each
// as NDJSON, doubled ones too. With withInput each record bears the index of its
// line. A line that cannot be read is told to complain and the others go on;
// Decode returns how many there were.
func Decode(in io.Reader, out io.Writer, withInput bool, complain func(line int, err error)) (bad int, err error) {
	w := bufio.NewWriter(out)
	r := bufio.NewReader(in)
	for i := 0; ; i++ {
		text, readErr := r.ReadString('\n')
		if line := strings.TrimRight(text, "\r\n"); line != "" {
			records, err := decodeLine(line)
			if err != nil {
				bad++
				complain(i, err)
			}
			if err := writeRecords(w, records, i, withInput); err != nil {
				return bad, err
			}
		}
		if readErr == io.EOF {
			return bad, w.Flush()
		}
		if readErr != nil {
			return bad, fmt.Errorf("read the input: %w", readErr)
		}
	}
}

func decodeLine(line string) ([]codec.Record, error) {
	_, encoded, ok := strings.Cut(line, "\t")
	if !ok {
		return nil, fmt.Errorf("no tab between topic and base64 payload")
	}
	payload, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("the payload is not base64: %w", err)
	}
	return codec.Decode(payload)
}

func writeRecords(w io.Writer, records []codec.Record, input int, withInput bool) error {
	if withInput {
		for i := range records {
			records[i].Input = &input
		}
	}
	text, err := lines(records)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}
