"""The page that Prometheus reads."""

from __future__ import annotations

from serving.metrics import MAX_POINTS, Counter, Gauge, Histogram, ServerMetrics


def test_a_counter_counts_each_combination_of_labels():
    """Label values are escaped."""
    counter = Counter("requests", "name")
    counter.add("a")
    counter.add("a", amount=2)
    counter.add('b"\\\n')
    assert counter.lines() == ["# TYPE requests counter", 'requests{name="a"} 3', 'requests{name="b\\"\\\\\\n"} 1']


def test_a_histograms_buckets_add_up():
    """Each bucket holds what is not above its limit; the last holds all."""
    histogram = Histogram("ms", "name", limits=[1, 10])
    for value in (0.5, 1, 5, 100):
        histogram.observe(value, "a")
    assert histogram.lines()[1:] == [
        'ms_bucket{name="a",le="1"} 2',
        'ms_bucket{name="a",le="10"} 3',
        'ms_bucket{name="a",le="+Inf"} 4',
        'ms_sum{name="a"} 106.5',
        'ms_count{name="a"} 4',
    ]


def test_a_gauge_is_read_when_asked():
    """Its value is that of the moment."""
    values = {("1",): 1.0}
    gauge = Gauge("state", "version", read=lambda: values)
    values["2",] = 0.5
    assert gauge.lines() == ["# TYPE state gauge", 'state{version="1"} 1', 'state{version="2"} 0.5']


def test_labels_cannot_fill_the_memory():
    """Callers choose some labels, versions come and go: a metric keeps the latest combinations."""
    counter, histogram = Counter("c", "name"), Histogram("h", "name", limits=[1])
    for number in range(MAX_POINTS + 100):
        counter.add(str(number))
        histogram.observe(1, str(number))
    assert len(counter.lines()) == MAX_POINTS + 1
    assert counter.lines()[-1] == f'c{{name="{MAX_POINTS + 99}"}} 1'
    assert len(histogram.lines()) == 1 + MAX_POINTS * 4


def test_the_page_names_every_family():
    """Also those without a value yet, so that alerts can be written."""
    page = ServerMetrics().page()
    assert "# TYPE :tensorflow:serving:request_count counter\n" in page
    assert "# TYPE model_server_request_seconds histogram\n" in page
    assert page.endswith("\n")
