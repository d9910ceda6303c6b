#!/usr/bin/python3
"""One OpenStack Swift node for tests, from Debian's packages, in a directory of its own.

    swift_node.py prepare DIR PROXY OBJECT CONTAINER ACCOUNT MEMCACHE   writes configuration and rings
    swift_node.py run DIR {proxy,object,container,account}              serves until stdin closes
    swift_node.py memcached DIR PORT                                 likewise

Every process ends when its standard input does, so none outlives the test that started it, however
that ends. Swift 2.30 is repaired in two places at run time (see repair_*).
"""
import os
import pwd
import subprocess
import sys
import threading

SERVERS = ("object", "container", "account")

SWIFT_CONF = """
[swift-hash]
swift_hash_path_prefix = zero
swift_hash_path_suffix = tests
[storage-policy:0]
name = only
default = yes
"""

STORAGE_CONF = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {etc}
devices = {node}
user = {user}
workers = 0
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
log_level = WARNING
log_address = /nonexistent
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
recon_cache_path = {recon}
# A listing must show what was just put, also on a busy machine.
container_update_timeout = 30
conn_timeout = 20
node_timeout = 30
"""

PROXY_CONF = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {etc}
user = {user}
workers = 0
log_level = WARNING
log_address = /nonexistent
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache s3api tempauth slo versioned_writes symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
conn_timeout = 20
node_timeout = 60
client_timeout = 20
# There is one node: to shun it for a minute because it was slow once would answer 503 to everything.
error_suppression_limit = 1000000
error_suppression_interval = 0
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcache}
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
s3_acl = false
check_bucket_owner = false
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
allow_object_versioning = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:slo]
use = egg:swift#slo
[filter:symlink]
use = egg:swift#symlink
"""


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def prepare(directory, ports):
    from swift.common.ring import RingBuilder

    proxy, *storage, memcache = ports
    etc, node, recon = (os.path.join(directory, name) for name in ("etc", "node", "recon"))
    for path in (etc, os.path.join(node, "disk"), recon, os.path.join(directory, "log")):
        os.makedirs(path, exist_ok=True)
    user = pwd.getpwuid(os.getuid()).pw_name
    common = dict(etc=etc, node=node, recon=recon, user=user)
    write(f"{etc}/swift.conf", SWIFT_CONF)
    write(f"{etc}/proxy-server.conf", PROXY_CONF.format(port=proxy, memcache=memcache, **common))
    for kind, port in zip(SERVERS, storage):
        write(f"{etc}/{kind}-server.conf", STORAGE_CONF.format(port=port, kind=kind, **common))
        # 2^4 partitions, one copy, no pause between moves.
        builder = RingBuilder(4, 1, 1)
        builder.add_dev({
            "id": 0, "region": 1, "zone": 1, "weight": 1.0, "device": "disk", "meta": "",
            "ip": "127.0.0.1", "port": port,
            "replication_ip": "127.0.0.1", "replication_port": port,
        })
        builder.rebalance()
        builder.get_ring().save(f"{etc}/{kind}.ring.gz")


def end_with_stdin(stop):
    """Calls `stop` when whoever started this process closes its standard input, or is gone."""
    read = os.read  # Swift replaces it by one that yields to other green threads
    watched = os.dup(0)  # and standard input by /dev/null

    def wait():
        while read(watched, 4096):
            pass
        stop()

    threading.Thread(target=wait, daemon=True).start()


def repair_version_listing():
    """NextVersionIdMarker takes its value from a field that is never set: pages would lose rows."""
    from swift.common.middleware.s3api.controllers.bucket import BucketController

    build = BucketController._build_versions_result

    def build_with_marker(self, req, objects, *args, **kwargs):
        if objects and "version_id" in objects[-1]:
            objects[-1]["version"] = objects[-1]["version_id"]
        return build(self, req, objects, *args, **kwargs)

    BucketController._build_versions_result = build_with_marker


def repair_bodyless_requests():
    """A DELETE without Content-Length has no body; eventlet would wait for one until it times out."""
    try:
        from swift.common.http_protocol import SwiftHttpProtocol
    except ImportError:
        from swift.common.wsgi import SwiftHttpProtocol

    get_environ = SwiftHttpProtocol.get_environ

    def get_environ_with_length(self, *args, **kwargs):
        environ = get_environ(self, *args, **kwargs)
        body = environ.get("wsgi.input")
        chunked = getattr(body, "chunked_input", False)
        if not environ.get("CONTENT_LENGTH") and not chunked:
            if getattr(body, "content_length", 0) is None:
                body.content_length = 0
        return environ

    SwiftHttpProtocol.get_environ = get_environ_with_length


def log_to(directory, name):
    log = os.open(os.path.join(directory, "log", name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)


def run(directory, kind):
    log_to(directory, kind)
    end_with_stdin(lambda: os._exit(0))
    etc = os.path.join(directory, "etc")
    from swift.common import utils

    utils.set_swift_dir(etc)  # before anything else of Swift reads /etc/swift
    from swift.common.wsgi import run_wsgi

    extra = {}
    if kind == "proxy":
        repair_version_listing()
    if kind == "object":
        from swift.obj import server
        extra["global_conf_callback"] = server.global_conf_callback
    repair_bodyless_requests()
    return run_wsgi(f"{etc}/{kind}-server.conf", f"{kind}-server", verbose=True, **extra)


def memcached(directory, port):
    log_to(directory, "memcached")
    user = pwd.getpwuid(os.getuid()).pw_name
    child = subprocess.Popen(
        ["memcached", "-u", user, "-l", "127.0.0.1", "-p", port, "-U", "0", "-m", "32"])
    end_with_stdin(child.kill)
    return child.wait()


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    if command == "prepare":
        prepare(rest[0], [int(port) for port in rest[1:]])
    elif command == "run":
        sys.exit(run(rest[0], rest[1]))
    elif command == "memcached":
        sys.exit(memcached(rest[0], rest[1]))
    else:
        sys.exit(__doc__)
