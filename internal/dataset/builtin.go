package dataset

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/ecg"
	"github.com/edgewise-ml/edgewise/tensor"
)

// BuiltinPrefix begins the names of data that the program makes itself.
const BuiltinPrefix = "builtin:"

// Sizes of the parts of builtin:heartbeat.
const (
	heartbeatTest  = 2000
	heartbeatTrain = 60000
)

// builtin returns data by the name behind BuiltinPrefix: "heartbeat", windows of synthetic
// electrocardiograms as ecg.Normalize leaves them, to be judged by, with others of other
// subjects to train on; behind a hyphen may stand how many of the latter.
func builtin(name string) (*Dataset, error) {
	number, some := strings.CutPrefix(name, "heartbeat-")
	n := heartbeatTrain
	if some {
		n, _ = strconv.Atoi(number)
	}
	if name != "heartbeat" && !some || n < 1 || n > heartbeatTrain {
		return nil, fmt.Errorf("there is no data of that name built in; there are %sheartbeat and %[1]sheartbeat-N, with N up to %d windows to train on", BuiltinPrefix, heartbeatTrain)
	}
	part := func(seed uint64, n int) (*Dataset, error) {
		x, labels := ecg.Dataset(seed, n)
		d, err := FromTensors("", tensor.Of(x, n, 1, ecg.Window), labels, ecg.Names())
		if err == nil {
			one := float32(1)
			d.spec = &Spec{Preprocess: &SpecPreprocess{Divide: &one}}
			d.persons = make([]int, n)
			for i := range n {
				d.persons[i] = i / ecg.WindowsPerSubject
			}
		}
		return d, err
	}
	test, err := part(ecg.EvaluationSeed, heartbeatTest)
	if err != nil {
		return nil, err
	}
	train, err := part(ecg.TrainSeed, n)
	if err != nil {
		return nil, err
	}
	return test.WithCalibration(train), nil
}
