package picture

import (
	"bytes"
	"errors"
	"image"
)

var errNotPNM = errors.New("not a portable anymap")

// pnmReader reads the text part of a Netpbm file.
type pnmReader struct{ rest []byte }

// skip passes white space and comments.
func (p *pnmReader) skip() {
	for len(p.rest) > 0 {
		switch {
		case p.rest[0] == '#':
			i := bytes.IndexByte(p.rest, '\n')
			if i < 0 {
				i = len(p.rest) - 1
			}
			p.rest = p.rest[i+1:]
		case p.rest[0] <= ' ':
			p.rest = p.rest[1:]
		default:
			return
		}
	}
}

// number reads a decimal number of at most the given digits.
func (p *pnmReader) number(digits int) (int, error) {
	p.skip()
	n, seen := 0, 0
	for len(p.rest) > 0 && seen < digits && p.rest[0] >= '0' && p.rest[0] <= '9' {
		n = n*10 + int(p.rest[0]-'0')
		p.rest = p.rest[1:]
		seen++
	}
	if seen == 0 {
		return 0, errNotPNM
	}
	return n, nil
}

// decodePNM reads the Netpbm formats P1 to P6: bitmap, gray and color, as text and as
// bytes.
func decodePNM(data []byte) (image.Image, error) {
	if len(data) < 3 || data[0] != 'P' || data[1] < '1' || data[1] > '6' {
		return nil, errNotPNM
	}
	kind := int(data[1] - '0')
	p := &pnmReader{data[2:]}
	w, err1 := p.number(9)
	h, err2 := p.number(9)
	most, err3 := 1, error(nil)
	if kind != 1 && kind != 4 {
		most, err3 = p.number(5)
	}
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	if w < 1 || h < 1 || h > maxPixels/w || most < 1 || most > 65535 {
		return nil, errNotPNM
	}
	channels := 1
	if kind == 3 || kind == 6 {
		channels = 3
	}
	// Every sample takes at least one bit, so the file bounds what is allocated.
	if w*h*channels > 8*len(p.rest) {
		return nil, errNotPNM
	}
	samples, err := p.samples(kind, w*channels, h, most)
	if err != nil {
		return nil, err
	}
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		for c := range 3 {
			img.Pix[4*i+c] = samples[i*channels+c%channels]
		}
		img.Pix[4*i+3] = 255
	}
	return img, nil
}

// samples reads h rows of n samples and scales them from 0..most to 0..255; in bitmaps 1
// is black.
func (p *pnmReader) samples(kind, n, h, most int) ([]uint8, error) {
	out := make([]uint8, n*h)
	if kind <= 3 {
		digits := 5
		if kind == 1 {
			digits = 1 // bits need no space between them
		}
		for i := range out {
			v, err := p.number(digits)
			if err != nil || v > most {
				return nil, errNotPNM
			}
			if kind == 1 {
				v = 1 - v
			}
			out[i] = uint8((v*255 + most/2) / most)
		}
		return out, nil
	}
	if len(p.rest) < 1 {
		return nil, errNotPNM
	}
	raw := p.rest[1:] // one white space ends the header
	width, row := 1, n
	switch {
	case kind == 4:
		row = (n + 7) / 8
	case most > 255:
		width, row = 2, 2*n
	}
	if len(raw) < row*h {
		return nil, errNotPNM
	}
	for i := range out {
		y, x := i/n, i%n
		line := raw[y*row:]
		v := 0
		switch {
		case kind == 4:
			v = 1 - int(line[x/8]>>(7-x%8)&1)
		case width == 2:
			v = int(line[2*x])<<8 | int(line[2*x+1])
		default:
			v = int(line[x])
		}
		out[i] = uint8((min(v, most)*255 + most/2) / most)
	}
	return out, nil
}
