package op

import (
	"fmt"
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// regionOps pool regions of interest to a fixed size.
func regionOps() []Def {
	return []Def{
		{Name: "RoiAlign", In: "X rois batch_indices", Out: "Y",
			Attrs: "coordinate_transformation_mode:string mode:string output_height:int output_width:int sampling_ratio:int spatial_scale:float",
			Infer: inferRoiAlign, Eval: evalRoiAlign},
		{Name: "MaxRoiPool", In: "X rois", Out: "Y", Attrs: "pooled_shape:ints! spatial_scale:float", Infer: inferMaxRoiPool, Eval: evalMaxRoiPool},
	}
}

func inferRoiAlign(c *Infer) error {
	h, w := c.Attrs().Int("output_height", 1), c.Attrs().Int("output_width", 1)
	return inferRegions(c, h, w)
}

func inferMaxRoiPool(c *Infer) error {
	p := c.Attrs().Ints("pooled_shape")
	if len(p) != 2 {
		return fmt.Errorf("pooled_shape %v has not two sizes", p)
	}
	return inferRegions(c, p[0], p[1])
}

func inferRegions(c *Infer, h, w int64) error {
	x, rois := c.Shape(0), c.Shape(1)
	if h < 1 || w < 1 || h > 1<<16 || w > 1<<16 {
		return fmt.Errorf("output size %dx%d is not valid", h, w)
	}
	if x.Ranked() && len(x) != 4 || rois.Ranked() && len(rois) != 2 {
		return fmt.Errorf("X %v and rois %v do not fit: want ranks 4 and 2", x, rois)
	}
	out := graph.Shape{graph.Unknown, graph.Unknown, {Size: int(h)}, {Size: int(w)}}
	if rois.Ranked() {
		out[0] = rois[0]
	}
	if x.Ranked() {
		out[1] = x[1]
	}
	c.SetTensor(0, c.DType(0), out)
	return nil
}

// region is one region of interest over planes of size h by w.
type region struct {
	h, w               int
	top, left          float64
	binH, binW         float64
	samplesY, samplesX int
	weights            [4]float64
	corners            [4]int
}

// locate sets the four neighbours of a point and their bilinear weights, and reports
// whether the point touches the plane.
func (r *region) locate(y, x float64) bool {
	if y < -1 || y > float64(r.h) || x < -1 || x > float64(r.w) {
		return false
	}
	y, x = max(y, 0), max(x, 0)
	y0, x0 := int(y), int(x)
	y1, x1 := y0+1, x0+1
	if y0 >= r.h-1 {
		y0, y1, y = r.h-1, r.h-1, float64(r.h-1)
	}
	if x0 >= r.w-1 {
		x0, x1, x = r.w-1, r.w-1, float64(r.w-1)
	}
	ly, lx := y-float64(y0), x-float64(x0)
	r.weights = [4]float64{(1 - ly) * (1 - lx), (1 - ly) * lx, ly * (1 - lx), ly * lx}
	r.corners = [4]int{y0*r.w + x0, y0*r.w + x1, y1*r.w + x0, y1*r.w + x1}
	return true
}

// evalRoiAlign samples every bin at regular points (Mask R-CNN). In mode max a sample
// counts as the greatest of its four weighted neighbours, as the ONNX reference has it.
func evalRoiAlign(e *Eval) error {
	x, rois, batch := e.float(0), e.float(1), e.Ints(2)
	a := e.Attrs()
	oh, ow := int(a.Int("output_height", 1)), int(a.Int("output_width", 1))
	if x.Rank() != 4 || rois.Rank() != 2 || rois.Dim(1) != 4 || len(batch) != rois.Dim(0) {
		e.Fail("X %v, rois %v and batch_indices %v do not fit", x, rois, e.T(2))
	}
	if oh < 1 || ow < 1 {
		e.Fail("output size %dx%d is not valid", oh, ow)
	}
	maxMode := a.String("mode", "avg") == "max"
	ratio, scale := int(a.Int("sampling_ratio", 0)), attrFloat(a, "spatial_scale", 1)
	half := a.String("coordinate_transformation_mode", "half_pixel") == "half_pixel"
	channels, plane := x.Dim(1), x.Dim(2)*x.Dim(3)
	out := e.Result(0, x.DType(), len(batch), channels, oh, ow)
	v := x.Floats()
	for n, b := range batch {
		if b < 0 || b >= int64(x.Dim(0)) {
			e.Fail("batch index %d is outside X %v", b, x)
		}
		r := newRegion(e, rois, n, scale, half, oh, ow, ratio)
		r.h, r.w = x.Dim(2), x.Dim(3)
		for c := range channels {
			src := v[(int(b)*channels+c)*plane:][:plane]
			for py := range oh {
				for px := range ow {
					out.SetFloat(((n*channels+c)*oh+py)*ow+px, r.bin(src, py, px, maxMode))
				}
			}
		}
	}
	return nil
}

func newRegion(e *Eval, rois *tensor.Tensor, n int, scale float64, half bool, oh, ow, ratio int) *region {
	offset := 0.0
	if half {
		offset = 0.5
	}
	x1, y1 := rois.Float(n*4)*scale-offset, rois.Float(n*4+1)*scale-offset
	x2, y2 := rois.Float(n*4+2)*scale-offset, rois.Float(n*4+3)*scale-offset
	h, w := y2-y1, x2-x1
	if !half { // malformed regions become 1 by 1
		h, w = max(h, 1), max(w, 1)
	}
	r := &region{top: y1, left: x1, binH: h / float64(oh), binW: w / float64(ow), samplesY: ratio, samplesX: ratio}
	if ratio <= 0 {
		r.samplesY, r.samplesX = int(math.Ceil(r.binH)), int(math.Ceil(r.binW))
	}
	if r.samplesY > 1<<12 || r.samplesX > 1<<12 {
		e.Fail("region %d asks for %dx%d samples per bin", n, r.samplesY, r.samplesX)
	}
	return r
}

func (r *region) bin(src []float64, py, px int, maxMode bool) float64 {
	sum, best := 0.0, math.Inf(-1)
	for iy := range r.samplesY {
		y := r.top + float64(py)*r.binH + (float64(iy)+0.5)*r.binH/float64(r.samplesY)
		for ix := range r.samplesX {
			x := r.left + float64(px)*r.binW + (float64(ix)+0.5)*r.binW/float64(r.samplesX)
			if !r.locate(y, x) {
				best = max(best, 0)
				continue
			}
			for k, w := range r.weights {
				sum += w * src[r.corners[k]]
				best = max(best, w*src[r.corners[k]])
			}
		}
	}
	if maxMode {
		if math.IsInf(best, -1) {
			return 0
		}
		return best
	}
	return sum / max(float64(r.samplesY*r.samplesX), 1)
}

// evalMaxRoiPool takes the maximum over every bin (Fast R-CNN). A region is
// [batch, x1, y1, x2, y2].
func evalMaxRoiPool(e *Eval) error {
	x, rois := e.float(0), e.float(1)
	p := e.Attrs().Ints("pooled_shape")
	if x.Rank() != 4 || rois.Rank() != 2 || rois.Dim(1) != 5 || len(p) != 2 || p[0] < 1 || p[1] < 1 {
		e.Fail("X %v, rois %v and pooled_shape %v do not fit", x, rois, p)
	}
	scale := attrFloat(e.Attrs(), "spatial_scale", 1)
	ph, pw := int(p[0]), int(p[1])
	channels, h, w := x.Dim(1), x.Dim(2), x.Dim(3)
	out := e.Result(0, x.DType(), rois.Dim(0), channels, ph, pw)
	for n := range rois.Dim(0) {
		b := int(rois.Float(n * 5))
		if b < 0 || b >= x.Dim(0) {
			e.Fail("batch index %d is outside X %v", b, x)
		}
		corner := func(i int) int { return int(math.Round(rois.Float(n*5+i) * scale)) }
		left, top, right, bottom := corner(1), corner(2), corner(3), corner(4)
		binH := float64(max(bottom-top+1, 1)) / float64(ph)
		binW := float64(max(right-left+1, 1)) / float64(pw)
		for i := range ph * pw {
			y0, y1 := binRange(i/pw, binH, top, h)
			x0, x1 := binRange(i%pw, binW, left, w)
			for c := range channels {
				best := math.Inf(-1)
				for y := y0; y < y1; y++ {
					for xx := x0; xx < x1; xx++ {
						best = max(best, x.Float(((b*channels+c)*h+y)*w+xx))
					}
				}
				if y0 >= y1 || x0 >= x1 {
					best = 0
				}
				out.SetFloat((n*channels+c)*ph*pw+i, best)
			}
		}
	}
	return nil
}

func binRange(i int, bin float64, start, size int) (from, to int) {
	from = int(math.Floor(float64(i)*bin)) + start
	to = int(math.Ceil(float64(i+1)*bin)) + start
	return min(max(from, 0), size), min(max(to, 0), size)
}
