"""Loading parts of a pipeline."""

from concurrent.futures import ThreadPoolExecutor

from unecho.components.diffusion.loading import one_line


def test_one_thread_loads_at_a_time_since_diffusers_makes_modules_without_weights_meanwhile() -> None:
    entered = []

    def load() -> None:
        with one_line("model.pretrained: m"):
            entered.append("the other")

    with ThreadPoolExecutor(1) as threads:
        with one_line("model.pretrained: m"), one_line("model.pretrained: m"):  # a part within its pipeline
            other = threads.submit(load)
            try:
                other.result(timeout=0.1)
            except TimeoutError:
                entered.append("this one")
        other.result(timeout=60)
    assert entered == ["this one", "the other"]
