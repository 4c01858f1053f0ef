package picture

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"testing"
)

// Chroma that rises evenly must come out evenly: with the nearest sample it would come in
// steps of two pixels.
func TestChromaIsInterpolated(t *testing.T) {
	img := image.NewYCbCr(image.Rect(0, 0, 32, 32), image.YCbCrSubsampleRatio420)
	for i := range img.Y {
		img.Y[i] = 128
	}
	for y := range 16 {
		for x := range 16 {
			img.Cb[y*img.CStride+x] = 128
			img.Cr[y*img.CStride+x] = uint8(64 + 8*x)
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	out, err := Decode(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for x := 2; x < 30; x++ {
		step := int(out.Pix[16*out.Stride+4*(x+1)]) - int(out.Pix[16*out.Stride+4*x])
		if step < 2 || step > 9 {
			t.Errorf("red rises by %d from column %d", step, x)
		}
	}
}

func TestTransparencyIsIgnored(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 1, 1))
	img.Set(0, 0, color.NRGBA{200, 100, 50, 10})
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	out, err := Decode(b.Bytes())
	if err != nil || !bytes.Equal(out.Pix, []byte{200, 100, 50, 255}) {
		t.Errorf("got %v, %v", out, err)
	}
	huge := bytes.Clone(b.Bytes())
	binary.BigEndian.PutUint32(huge[16:], 1<<31-1)
	if _, err := Decode(huge); err == nil {
		t.Error("an absurd size was accepted")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("P2 2 1 255 0 7\n"))
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 2, 2))); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 1<<12 {
			_, _ = Decode(data)
		}
	})
}
