"""Replication: sockets, threads and the reactor's clock around core.replication.replica, which
makes all decisions.

socket, thread, timer --event--> Replica --actions--> sent here, or run on a thread by performer;
                                                      then one timer is set for the next deadline
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from imagepipe.config.settings import ReplicationSettings
from imagepipe.core.replication import actions
from imagepipe.core.replication.actions import Action
from imagepipe.core.replication.messages import (
    GET_BYTES_MAX,
    Batch,
    Foreign,
    Malformed,
    decode_head,
    decode_reply,
    decode_request,
    encode,
)
from imagepipe.core.replication.replica import Replica
from imagepipe.core.rows.entries import Content, Row
from imagepipe.core.units import format_bytes
from imagepipe.errors import StartError
from imagepipe.replication.catch_up import CatchUp
from imagepipe.replication.confirmations import Confirmations
from imagepipe.replication.link_changes import LinkChanges, link_changes, link_name
from imagepipe.replication.links import MessageHandlers, PeerSockets
from imagepipe.replication.performer import Event, OnThread, Performer
from imagepipe.replication.replication_log import ReplicationLog
from imagepipe.replication.status import ReplicationStatus, status_of
from imagepipe.replication.zmq.curve_keys import NodeKeys
from imagepipe.replication.zmq.zmq_socket import Frames
from imagepipe.storage.store import Store

TIMER_SECONDS_MIN = 0.001
TIMER_SECONDS_MAX = 1.0

_log = Logger()


class Replication:
    """One node's replication, from `start`, which opens the sockets, to `stop`, which closes them.

    Construct it on a thread, because it reads its cursors from the store; everything else is for
    the reactor's thread. name: what the node calls itself. pulling, serving: run a blocking call on
    a thread of a pool of their own. seconds: a monotonic clock. wall_ms: the wall clock.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        store: Store,
        settings: ReplicationSettings,
        keys: NodeKeys | None,
        *,
        pulling: OnThread,
        serving: OnThread,
        name: str,
        seconds: Callable[[], float],
        wall_ms: Callable[[], int],
    ) -> None:
        self._reactor = reactor
        self._store = store
        self._settings = settings
        self._keys = keys
        self._seconds = seconds
        self._wall_ms = wall_ms
        self._name = name
        self._initial_state = store.epochs, store.peers.cursors(), store.peers.pending()
        self._performer = Performer(store, pulling, serving, self._apply, seconds)
        self._replication_log = ReplicationLog(seconds)
        self._confirmations = Confirmations(
            reactor, settings.acks_min, settings.ack_timeout_seconds
        )
        self._catch_up = CatchUp(reactor, seconds)
        self._refetches: dict[int, Deferred[None]] = {}
        self._handlers = MessageHandlers(
            self._head_received, self._reply_received, self._request_received
        )
        self._sockets: PeerSockets | None = None
        self._has_no_sockets = False  # the sockets are closed, and could not be opened again
        self._replica: Replica | None = None
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """Open the sockets and start to replicate. Raises StartError."""
        settings, store = self._settings, self._store
        sockets = self._sockets = PeerSockets(settings, self._keys, self._handlers, {})
        epochs, cursors, pending = self._initial_state
        publishes = bool(sockets.publish)
        self._replica = Replica(
            store.node_id,
            epochs,
            store.last_seq,
            cursors,
            pending,
            self._wall_ms,
            sync=sockets.announced,
            publishes=publishes,
            refusal=self._refusal,
            name=self._name,
        )
        for peer in settings.subscribe:
            self._replica.add_link(link_name(peer), self._seconds())
        self._advance()

    def reconfigure(self, settings: ReplicationSettings, keys: NodeKeys | None) -> None:
        """Continue with other settings and keys; between `start` and `stop`. Raises StartError, and
        then nothing has changed.

        Calls that wait for confirmations keep waiting. Requests under way that are lost are
        repeated.
        """
        replica, now = self._replica, self._seconds()
        assert replica
        assert self._sockets
        changes = link_changes(self._settings, self._keys, settings, keys)
        if changes.reopened or self._has_no_sockets:
            self._reopen_sockets(
                settings, keys, changes, {name: link.sync for name, link in replica.links.items()}
            )
        else:
            self._sockets.replace(changes.removed, changes.added, keys)
        self._settings, self._keys = settings, keys
        for name in changes.removed:
            replica.remove_link(name, now)
        for peer in changes.added:
            replica.add_link(link_name(peer), now)
        replica.subscribers.listens(
            self._sockets.announced,
            now,
            publishes=bool(self._sockets.publish),
            keys=frozenset(keys.authorized) if keys else None,
        )
        self._confirmations.require(settings.acks_min, settings.ack_timeout_seconds)
        self._confirmations.release(replica)
        self._advance()

    def rename(self, name: str) -> None:
        """Change what the node calls itself."""
        self._name = name
        if self._replica:
            self._replica.subscribers.name = name

    def _reopen_sockets(
        self,
        settings: ReplicationSettings,
        keys: NodeKeys | None,
        changes: LinkChanges,
        announced: Mapping[str, str],
    ) -> None:
        """Close every socket and open it again; if that fails, open them as they were.

        announced: as for PeerSockets, before the change.
        """
        earlier = self._sockets
        assert earlier
        # A port that the system chose is kept for as long as the settings leave it the choice.
        before = replace(self._settings, publish=earlier.publish or None, sync=earlier.sync or None)
        wanted = replace(
            settings,
            publish=(
                before.publish if settings.publish == self._settings.publish else settings.publish
            ),
            sync=before.sync if settings.sync == self._settings.sync else settings.sync,
        )
        for peer in settings.subscribe:
            if keys:
                keys.key_of(link_name(peer))  # a missing key is found before anything is closed
        earlier.close()  # first, because the same ports may be needed
        try:
            self._sockets = PeerSockets(
                wanted,
                keys,
                self._handlers,
                {name: place for name, place in announced.items() if name not in changes.removed},
            )
        except StartError as error:
            try:
                self._sockets = PeerSockets(before, self._keys, self._handlers, announced)
            except StartError as worse:  # another process has just taken a port
                self._has_no_sockets = True
                raise StartError(
                    f"{error}; the old sockets could not be reopened either: {worse}; nothing is"
                    " replicated until the next reload"
                ) from None
            self._has_no_sockets = False
            raise
        self._has_no_sockets = False

    def stop(self) -> None:
        """Close the sockets. The pools finish what their threads do; nothing more is sent."""
        self.abandon()
        self._replica = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._sockets:
            self._sockets.close()

    def abandon(self) -> None:
        """Resume or fail all calls that are waiting for peers."""
        self._confirmations.abandon()
        self._catch_up.abandon()
        refetches, self._refetches = self._refetches, {}
        for ended in refetches.values():
            ended.callback(None)

    def committed(self, seq: int) -> None:
        """Changes up to the number `seq` are durable and visible."""
        self._apply(lambda replica, now: replica.committed(seq, now))

    async def wait_for_confirmations(self, seq: int) -> None:
        """Wait until `min_acks` peers have everything up to the number `seq` on their disks; raises
        TooFewPeers after `ack_timeout`.
        """
        await self._confirmations.wait(seq, self._replica)

    async def catch_up(self) -> None:
        """Pull what the reachable peers have now, before a client is told that an image does not
        exist.
        """
        if self._replica and self._replica.links:
            catching_up = self._catch_up.wait()
            self._advance()
            await catching_up

    async def refetch(self, contents: Sequence[Content]) -> None:
        """Fetch bytes that rows of this node name and that are missing or corrupt here, from any
        peer that has them.

        Bytes that arrive in time are verified and in place when this returns; the others stay as
        they were.
        """
        if self._replica:
            number = self._replica.refetch(contents, self._seconds())
            ended = self._refetches[number] = Deferred()
            self._advance()
            await ended

    def status(self) -> ReplicationStatus | None:
        """The state of replication."""
        if self._replica is None:
            return None
        return status_of(
            self._replica, self._replication_log, self._store.conflicts, self._seconds()
        )

    def _refusal(self, row: Row) -> str | None:
        """Why the bytes of a peer's row are not fetched now, or None if they are."""
        content, admission = row.entry.content, self._store.peers.admission
        if content is None:
            return None
        if admission and (why := admission.refusal(row)):
            return why
        if content.size > GET_BYTES_MAX and content.size > self._store.peers.space_bytes:
            return f"not enough disk space for its {format_bytes(content.size)}"
        return None

    # Events. One that arrives too late, for a removed link or after `stop`, is dropped.

    def _apply(self, event: Event) -> None:
        if self._replica:
            event(self._replica, self._seconds())
            self._advance()

    def _head_received(self, name: str, frames: Frames) -> None:
        def heard(replica: Replica, now: float) -> None:
            head = decode_head(self._settings.cluster, _single_frame(frames))
            self._replication_log.note_clock(name, (head.clock_ms - self._wall_ms()) / 1000)
            replica.heard_head(name, head, now)

        self._apply(self._of_link(name, heard))

    def _reply_received(self, name: str, frames: Frames) -> None:
        def answered(replica: Replica, now: float) -> None:
            message = decode_reply(self._settings.cluster, _single_frame(frames))
            if isinstance(message, Batch) and (refused := message.refused):
                self._replication_log.log_refused_rows(f"peer {name}", refused)
            replica.answered(name, message, now)

        self._apply(self._of_link(name, answered))

    def _of_link(self, name: str, event: Event) -> Event:
        def checked(replica: Replica, now: float) -> None:
            if name in replica.links:
                try:
                    event(replica, now)
                except Foreign as error:
                    replica.refuse(name, str(error), now)
                except Malformed as error:
                    self._replication_log.log_bad_message(f"peer {name}", error)

        return checked

    def _request_received(self, client: bytes, frames: Frames, key: bytes) -> None:
        def asked(replica: Replica, now: float) -> None:
            who = self._keys.name_of(key) if self._keys else ""
            if who is None:
                return  # its key was removed a moment ago
            try:
                request = decode_request(self._settings.cluster, _single_frame(frames))
            except (Foreign, Malformed) as error:
                self._replication_log.log_bad_message(
                    f"peer {who}" if who else "a subscriber", error
                )
            else:
                replica.asked(client, request, now, who)
                self._confirmations.release(replica)

        self._apply(asked)

    # Actions.

    def _advance(self) -> None:
        """Perform the actions decided on, and set the timer for the next deadline."""
        replica = self._replica
        if replica is None:
            return
        self._catch_up.advance(replica)
        for action in replica.take_actions():
            self._perform(action)
        self._replication_log.note(replica)
        now = self._seconds()
        due = min(replica.next_deadline(now), self._catch_up.due_at)
        wait = min(max(TIMER_SECONDS_MIN, due - now), TIMER_SECONDS_MAX)
        if self._timer is not None and self._timer.active():
            self._timer.reset(wait)
        else:
            self._timer = self._reactor.callLater(
                wait, self._apply, lambda replica, now: replica.tick(now)
            )

    def _perform(self, action: Action) -> None:
        cluster, sockets = self._settings.cluster, self._sockets
        assert sockets
        match action:
            case actions.SendRequest(name, request):
                sockets.send_request(name, [encode(cluster, request)])
            case actions.SendReply(client, reply):
                sockets.send_reply(client, [encode(cluster, reply)])
            case actions.Notify(head):
                sockets.notify([encode(cluster, head)])
            case actions.Redirect(name, announced):
                try:
                    sockets.redirect(name, announced)
                except StartError as error:  # what it announced is invalid: keep the endpoint
                    self._replication_log.log_bad_message(f"peer {name}", error)
            case actions.ReportRejected(name, path, why):
                self._replication_log.log_rejected(name, path, why)
            case actions.RefetchDone(number):
                if ended := self._refetches.pop(number, None):
                    ended.callback(None)
            case _:
                self._performer.perform(action)


def _single_frame(frames: Frames) -> bytes:
    if len(frames) != 1:
        raise Malformed(f"it has {len(frames)} frames instead of one")
    return frames[0]
