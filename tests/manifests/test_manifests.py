"""Every overlay renders to objects that a cluster takes and that fit together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from manifest_checks import budget, network, pod_security, references, rights, schemas, values
from manifest_checks.pods import driver, in_workflow, of_search, step, worker, workloads
from manifest_checks.rendering import MANIFESTS, OVERLAYS, Object, find, objects, of_kind, render

from pipelines.doctor.access import LOOK_VERBS, QUEUE_VERBS, SUBMITTER_ROLE, user_verbs
from pipelines.doctor.deep import VERBS as DEEP_VERBS
from pipelines.profile import ClusterProfile
from pipelines.profile_reading import read_profile_file
from pipelines.submit.access import Access
from pipelines.submit.record import Target

Rendered = Callable[[str], list[Object]]

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
guarded = pytest.mark.parametrize(
    "overlay", [each for each in OVERLAYS if each != "kfp-standalone"]
)


def profile_of(overlay: str) -> ClusterProfile:
    return read_profile_file(MANIFESTS / "overlays" / overlay / "profile.yaml")


def namespace_of(overlay: str) -> str:
    return profile_of(overlay).namespace


def test_every_overlay_is_tested() -> None:
    assert sorted(each.name for each in (MANIFESTS / "overlays").iterdir()) == sorted(OVERLAYS)


@every_overlay
def test_validates_strictly(rendered: Rendered, overlay: str) -> None:
    assert schemas.kubernetes_problems(rendered(overlay)) == []


@schemas.needs_schemas
@every_overlay
def test_validates_against_kueues_definitions(rendered: Rendered, overlay: str) -> None:
    things = rendered(overlay)
    assert schemas.kueue_problems(things) == []
    assert any(map(schemas.is_kueue, things)) == (overlay == "kueue")


@every_overlay
def test_values_of_enumerations_and_names(rendered: Rendered, overlay: str) -> None:
    assert values.enum_problems(rendered(overlay)) == []
    assert values.name_problems(rendered(overlay)) == []


@every_overlay
def test_references_lead_somewhere(rendered: Rendered, overlay: str) -> None:
    profile = profile_of(overlay)
    found = references.problems(rendered(overlay), of_search(profile), profile.namespace)
    assert found == []


@pytest.mark.parametrize("overlay", ["local", "gpu", "argo-only"])
def test_default_profile_finds_what_it_names(rendered: Rendered, overlay: str) -> None:
    default = ClusterProfile()
    assert references.problems(rendered(overlay), of_search(default), default.namespace) == []


@guarded
def test_namespace_enforces_restricted_pods(rendered: Rendered, overlay: str) -> None:
    labels = find(rendered(overlay), "Namespace", "evoptim")["metadata"]["labels"]
    for mode in ("enforce", "audit", "warn"):
        assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"
        assert labels[f"pod-security.kubernetes.io/{mode}-version"] == "v1.33"


@every_overlay
def test_pods_are_restricted(rendered: Rendered, overlay: str) -> None:
    profile = profile_of(overlay)
    pods = [*workloads(rendered(overlay)), step(profile), worker(profile)]
    assert [text for pod in pods for text in pod_security.problems(pod)] == []
    assert len(pods) == (3 if overlay == "local" else 2)


SEARCH = {
    *(("batch/jobs", "*", verb) for verb in ("create", "get", "list", "watch", "delete")),
    *(("pods", "*", verb) for verb in ("get", "list", "watch")),
    ("pods/log", "*", "get"),
    ("events", "*", "list"),
}
RESULTS = {
    ("argoproj.io/workflowtaskresults", "*", "create"),
    ("argoproj.io/workflowtaskresults", "*", "patch"),
}
KFP = {
    *RESULTS,
    ("configmaps", "kfp-launcher", "get"),
    ("secrets", "mlpipeline-minio-artifact", "get"),
}


@every_overlay
def test_accounts_may_do_exactly_what_they_need(rendered: Rendered, overlay: str) -> None:
    things = rendered(overlay)
    argo, kfp = overlay in ("local", "argo-only"), overlay != "argo-only"
    assert rights.wildcard_problems(things) == []
    assert rights.rights_of(things, "evoptim-search") == SEARCH | (KFP if kfp else set())
    assert rights.rights_of(things, "evoptim-executor") == (RESULTS if argo else set())
    assert rights.rights_of(things, "evoptim-worker") == set()
    assert rights.rights_of(things, "default") == set()


@every_overlay
def test_role_of_the_job_fan_out_stays_the_same(rendered: Rendered, overlay: str) -> None:
    role = find(rendered(overlay), "Role", "evoptim-search")
    binding = find(rendered(overlay), "RoleBinding", "evoptim-search")
    assert rights.rights_of([role, binding], "evoptim-search") == SEARCH


def granted(*verbs: Access) -> set[rights.Right]:
    return {(f"{each.group}/{each.resource}".lstrip("/"), "*", each.verb) for each in verbs}


@every_overlay
def test_submitters_may_do_exactly_what_the_commands_do(rendered: Rendered, overlay: str) -> None:
    things = rendered(overlay)
    target: Target = "argo" if overlay in ("local", "argo-only") else "kfp"
    queued = QUEUE_VERBS if overlay == "kueue" else ()
    wanted = granted(*user_verbs(target), *DEEP_VERBS, *LOOK_VERBS, *queued)
    assert rights.rights_in(things, SUBMITTER_ROLE) == wanted


@every_overlay
def test_whom_searches_are_submitted_by_is_for_the_user_to_say(
    rendered: Rendered, overlay: str
) -> None:
    bound = {each["roleRef"]["name"] for each in of_kind(rendered(overlay), "RoleBinding")}
    assert SUBMITTER_ROLE not in bound


@every_overlay
def test_only_steps_are_given_a_token(rendered: Rendered, overlay: str) -> None:
    accounts = of_kind(rendered(overlay), "ServiceAccount")
    given = [each["metadata"]["name"] for each in accounts if each["automountServiceAccountToken"]]
    assert given == ["evoptim-search"]


@guarded
def test_no_secret_is_in_the_manifests(rendered: Rendered, overlay: str) -> None:
    secrets = of_kind(rendered(overlay), "Secret")
    made = {each["metadata"]["name"] for each in secrets if each.get("data")}
    # What `local` has comes from the file that the user makes.
    assert made == ({"evoptim-s3"} if overlay == "local" else set())


API_SERVERS = [("10.96.0.1", 443), ("172.18.0.2", 6443), ("192.168.49.2", 6443), ("10.0.0.9", 443)]


@guarded
def test_training_pods_reach_no_api_server(rendered: Rendered, overlay: str) -> None:
    things, profile = rendered(overlay), profile_of(overlay)
    for address, port in API_SERVERS:
        assert not network.may_reach_address(things, worker(profile), address, port)
        assert network.may_reach_address(things, step(profile), address, port)
        # The engine's own container, beside ours, has to.
        assert network.may_reach_address(things, in_workflow(worker(profile)), address, port)


@guarded
def test_steps_and_training_pods_reach_the_store(rendered: Rendered, overlay: str) -> None:
    things, profile = rendered(overlay), profile_of(overlay)
    for pod in (step(profile), worker(profile)):
        if overlay == "local":
            (server,) = workloads(things)
            assert network.may_reach_pod(things, pod, server.labels, 8333)
            assert network.may_be_reached(things, server, pod.labels, 8333)
            assert network.may_be_reached(things, server, pod.labels, 8333, "kubeflow")
        else:
            assert network.may_reach_address(things, pod, "52.216.1.1", 443)
            assert network.may_reach_address(things, pod, "2600:1f60::1", 443)


@guarded
def test_every_pod_asks_the_clusters_dns(rendered: Rendered, overlay: str) -> None:
    things, profile = rendered(overlay), profile_of(overlay)
    dns = {"k8s-app": "kube-dns"}
    for pod in [*of_search(profile), *workloads(things)]:
        for protocol in ("UDP", "TCP"):
            assert network.may_reach_pod(things, pod, dns, 53, "kube-system", protocol)
            assert network.may_reach_address(things, pod, "169.254.20.10", 53, protocol)


@guarded
def test_what_is_not_allowed_is_denied(rendered: Rendered, overlay: str) -> None:
    things, profile = rendered(overlay), profile_of(overlay)
    servers = workloads(things)
    for pod in [*of_search(profile), *servers]:
        for port in (80, 443):
            assert not network.may_reach_address(things, pod, "169.254.169.254", port)
        assert not network.may_reach_address(things, pod, "52.216.1.1", 80)
        assert not network.may_reach_pod(things, pod, {}, 443, "kube-system")
        assert not network.may_be_reached(things, pod, {"app": "another"}, 8333)
        assert not network.may_be_reached(things, pod, {}, 22, "default")
    for server in servers:
        # Its other services ask for no credentials.
        for port in (8888, 9333, 9340, 18888, 23646):
            assert not network.may_be_reached(things, server, worker(profile).labels, port)
        assert not network.may_reach_address(things, server, "52.216.1.1", 443)


def test_drivers_of_kfp_reach_it(rendered: Rendered) -> None:
    things = rendered("gpu")
    for port in (8080, 8333, 8887, 8888, 9000):
        assert network.may_reach_pod(things, driver(), {"app": "ml-pipeline"}, port, "kubeflow")
    assert not network.may_reach_pod(rendered("argo-only"), driver(), {}, 8888, "kubeflow")


@guarded
def test_a_search_fits_quota_and_limits(rendered: Rendered, overlay: str) -> None:
    things = rendered(overlay)
    for profile in (profile_of(overlay), ClusterProfile()):
        assert budget.quota_problems(things, profile) == []
        pods = [*workloads(things), step(profile), worker(profile)]
        assert budget.limit_problems(things, pods) == []


def test_the_queue_has_room_for_all_training_pods(rendered: Rendered) -> None:
    for profile in (profile_of("kueue"), ClusterProfile()):
        assert budget.queue_problems(rendered("kueue"), profile) == []


def test_numbers_that_the_quota_states(rendered: Rendered) -> None:
    need = budget.need_of_search(rendered("gpu"), ClusterProfile())
    text = " ".join((MANIFESTS / "base" / "limits.yaml").read_text(encoding="utf-8").split())
    requested, limited = need["requests.cpu"].normalize(), need["limits.cpu"].normalize()
    stated = f"{requested} cores requested and {limited} limited"
    assert stated in text.replace("# ", "")


def test_the_shown_version_of_the_server_is_pinned(rendered: Rendered) -> None:
    (server,) = workloads(rendered("local"))
    image = server.spec["containers"][0]["image"]
    assert len(image.partition("@sha256:")[2]) == 64


def test_without_credentials_the_overlay_says_which_file_is_missing(kustomize: None) -> None:
    if (MANIFESTS / "overlays" / "local" / "evoptim-s3.env").exists():
        pytest.skip("credentials were made in this checkout")
    answer = render(MANIFESTS / "overlays" / "local")
    assert answer.returncode != 0
    assert "evoptim-s3.env" in answer.stderr


def test_credentials_are_ignored_by_git() -> None:
    ignored = (MANIFESTS / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "evoptim-s3.env" in ignored


def test_components_combine(manifests: Path, kustomize: None, tmp_path: Path) -> None:
    """The overlay that docs/manifests.md shows."""
    page = (MANIFESTS.parent / "docs" / "manifests.md").read_text(encoding="utf-8")
    binding, shown = (part.split("```")[0] for part in page.split("```yaml\n")[1:3])
    target = manifests / "overlays" / "mine"
    target.mkdir()
    (target / "binding.yaml").write_text(binding, encoding="utf-8")
    shown = shown.replace("resources: [", "resources: [binding.yaml, ")
    (target / "kustomization.yaml").write_text(shown, encoding="utf-8")
    answer = render(target)
    assert (answer.returncode, answer.stderr) == (0, "")
    things = objects(answer.stdout)
    whole = granted(*user_verbs("argo"), *DEEP_VERBS, *LOOK_VERBS, *QUEUE_VERBS)
    assert rights.rights_of(things, "optimizers") == whole
    profile = profile_of("kueue")
    assert references.problems(things, of_search(profile), "evoptim") == []
    assert schemas.kubernetes_problems(things) == []
    store = find(things, "ConfigMap", "evoptim-store")["data"]["EVOPTIM_STORE"]
    assert store == "s3://experiments/evoptim"
    assert network.may_reach_address(things, worker(profile), "10.20.0.5", 443)
