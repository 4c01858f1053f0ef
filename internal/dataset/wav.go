package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// decodeWAV reads a RIFF/WAVE file: PCM of 8, 16, 24 or 32 bits, or float of 32 or 64,
// any number of channels, which are averaged. Samples are in -1..1.
func decodeWAV(b []byte) (pcm []float32, rate int, err error) {
	if len(b) < 12 || string(b[:4]) != "RIFF" || string(b[8:12]) != "WAVE" {
		return nil, 0, errors.New("is not a RIFF/WAVE file")
	}
	var format, channels, bits int
	for p := 12; p+8 <= len(b); {
		id, size := string(b[p:p+4]), int64(binary.LittleEndian.Uint32(b[p+4:]))
		body := b[p+8:]
		if id == "data" && size > int64(len(body)) {
			size = int64(len(body)) // streams leave the size open
		}
		if size > int64(len(body)) {
			return nil, 0, fmt.Errorf("wav: chunk %q of %d bytes is cut short", id, size)
		}
		body = body[:size]
		switch id {
		case "fmt ":
			if len(body) < 16 {
				return nil, 0, errors.New("wav: format chunk is too short")
			}
			format = int(binary.LittleEndian.Uint16(body))
			channels = int(binary.LittleEndian.Uint16(body[2:]))
			rate = int(binary.LittleEndian.Uint32(body[4:]) & 0x7fffffff)
			bits = int(binary.LittleEndian.Uint16(body[14:]))
			if format == 0xfffe && len(body) >= 26 {
				format = int(binary.LittleEndian.Uint16(body[24:]))
			}
		case "data":
			if channels < 1 || channels > 64 || rate < 1 {
				return nil, 0, fmt.Errorf("wav: %d channels at %d Hz cannot be read", channels, rate)
			}
			pcm, err = wavSamples(body, format, channels, bits)
			return pcm, rate, err
		}
		p += 8 + int(size+size&1)
	}
	return nil, 0, errors.New("wav: has no data chunk")
}

func wavSamples(b []byte, format, channels, bits int) ([]float32, error) {
	var at func(b []byte) float64
	switch {
	case format == 1 && bits == 8:
		at = func(b []byte) float64 { return (float64(b[0]) - 128) / 128 }
	case format == 1 && bits == 16:
		at = func(b []byte) float64 { return float64(int16(binary.LittleEndian.Uint16(b))) / (1 << 15) }
	case format == 1 && bits == 24:
		at = func(b []byte) float64 {
			return float64(int32(uint32(b[0])<<8|uint32(b[1])<<16|uint32(b[2])<<24)) / (1 << 31)
		}
	case format == 1 && bits == 32:
		at = func(b []byte) float64 { return float64(int32(binary.LittleEndian.Uint32(b))) / (1 << 31) }
	case format == 3 && bits == 32:
		at = func(b []byte) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))) }
	case format == 3 && bits == 64:
		at = func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }
	default:
		return nil, fmt.Errorf("wav: format %d with %d bits is not supported (want PCM or float)", format, bits)
	}
	size := bits / 8
	out := make([]float32, len(b)/(size*channels))
	for i := range out {
		sum := 0.0
		for c := range channels {
			sum += at(b[(i*channels+c)*size:])
		}
		out[i] = float32(sum / float64(channels))
	}
	return out, nil
}

// resampled converts by linear interpolation.
func resampled(pcm []float32, from, to int) []float32 {
	if from == to || to <= 0 || len(pcm) == 0 {
		return pcm
	}
	n := int(int64(len(pcm)) * int64(to) / int64(from))
	if n > maxFileBytes {
		n = maxFileBytes
	}
	out := make([]float32, n)
	for i := range out {
		x := float64(i) * float64(from) / float64(to)
		k := min(int(x), len(pcm)-1)
		next := pcm[min(k+1, len(pcm)-1)]
		f := float32(x - float64(k))
		out[i] = pcm[k] + float32(f*(next-pcm[k]))
	}
	return out
}

// DecodeWAV decodes a wav file for a single run: mono samples in -1..1 and their rate.
func DecodeWAV(b []byte) ([]float32, int, error) { return decodeWAV(b) }
