"""The conversations that pages have open: reopened from the store, or begun and without a stored turn yet."""

from collections.abc import Callable
from weakref import WeakValueDictionary

from avatar.chat import Chat
from avatar.engines.base import Voice
from avatar.errors import NotFound, StorageError
from avatar.store import Store


class Opened:
    """Ids of conversations are the server's: one that it did not give out becomes a new one."""

    def __init__(self, store: Store, voice: Callable[[str, str], Voice]) -> None:
        """`voice` gives the one behind a choice of an owner: (owner, choice)."""
        self._store, self._voice = store, voice
        self._told = WeakValueDictionary[tuple[str, str], Chat]()  # by owner and id

    def tell(self, owner: str, chat: Chat) -> None:
        """The page of `owner` learns the id of this chat."""
        self._told[owner, chat.id] = chat

    def told(self, owner: str, conversation_id: str) -> bool:
        return (owner, conversation_id) in self._told

    def ids(self, owner: str) -> set[str]:
        """Those that somebody still holds."""
        return {conversation for whose, conversation in list(self._told) if whose == owner}

    def chat(self, owner: str, conversation_id: str) -> Chat | None:
        """The conversation that a page of `owner` is in now."""
        return self._told.get((owner, conversation_id))

    def reopen(self, owner: str, conversation_id: str, client_turn_id: str = "") -> Chat:
        """Blocks. The conversation as stored; without a turn while its first one is on its way; a new one when it is
        not there. Raises StorageError.

        A page that lost the answer to its first turn may not know the conversation: the turn it resends tells.
        """
        chat = self._stored(owner, conversation_id)
        if chat is None and client_turn_id and not self._store.damaged:
            chat = self._stored(owner, self._store.conversation_of(owner, client_turn_id))
        if chat is None:
            chat = Chat(conversation_id if self.told(owner, conversation_id) else "", voice=self._voice(owner, ""))
        return chat

    def _stored(self, owner: str, conversation_id: str) -> Chat | None:
        try:
            persona = self._store.persona(owner, conversation_id)
            voice = self._voice(owner, self._store.voice(owner, conversation_id))
            chat = Chat(conversation_id, self._store.turns(owner, conversation_id), persona, voice)
            chat.hq = self._store.quality(owner, conversation_id) == "hq"
            chat.mark_takes(self._store.takes.of(conversation_id))
            return chat
        except NotFound:  # no turn of it is stored yet, or it was deleted meanwhile
            return None
        except StorageError:
            if not self._store.damaged:
                raise
            return None  # it cannot be read: talking goes on
