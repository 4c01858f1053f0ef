package dataset

import "cmp"

// OpenParts opens test with train as its part for training. Either may be divided itself: of
// the one only what is judged counts, of the other only what is for training. given counts for
// both, but that rows that remain, stretches that are not normal and the choice of
// windows are those of test. Columns are normalized by what is trained on.
func OpenParts(train, test string, given *Spec) (*Dataset, error) {
	d, err := Open(test, Options{Given: given})
	if err != nil {
		return nil, err
	}
	if given != nil {
		s := *given
		s.Remaining, s.Anomalies, s.Windows = "", "", ""
		given = &s
	}
	learned, err := Open(train, Options{Given: given})
	if err != nil {
		d.Close()
		return nil, err
	}
	d = d.WithCalibration(learned)
	d.notes = append(d.notes, "trained on "+learned.name)
	how := ""
	for _, s := range []*Spec{d.spec, d.train.spec} {
		if s != nil {
			how = cmp.Or(how, s.Normalize)
		}
	}
	if err := d.normalize(how); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}
