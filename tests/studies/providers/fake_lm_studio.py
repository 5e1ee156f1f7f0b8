"""LM Studio's server: a greeting over HTTP, and one WebSocket for each part of its API."""

import asyncio
import json
from pathlib import Path
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, Request, TextMessage

from support.listener import Listener

_MESSAGES = json.loads(Path(__file__).with_suffix(".json").read_text())


class FakeLMStudio(Listener):
    """Answers one chat of the ``lmstudio`` SDK after another.

    ``look`` is called on the server's loop with the name of each request, before it is answered.
    """

    look: Any = None

    async def serve(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Greet, or speak WebSocket until the client closes."""
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode()
        self.timeline.record("request", number, path)
        self.look(path)
        if b"upgrade: websocket" not in head.lower():
            body = b'{"lmstudio": true}'
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await reader.read()
            return
        await self._speak(number, head, reader, writer)

    async def _speak(
        self, number: int, data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        state = WSConnection(ConnectionType.SERVER)
        while data:
            state.receive_data(data)
            for event in state.events():
                if isinstance(event, Request):
                    writer.write(state.send(AcceptConnection()))
                elif isinstance(event, TextMessage):
                    for answer in self._answer(number, json.loads(event.data)):
                        writer.write(state.send(TextMessage(json.dumps(answer))))
                elif isinstance(event, Ping | CloseConnection):
                    writer.write(state.send(event.response()))
                    if isinstance(event, CloseConnection):
                        return
            data = await reader.read(65536)

    def _answer(self, number: int, message: dict[str, Any]) -> list[dict[str, Any]]:
        if "authVersion" in message:
            return [{"success": True}]
        what = message.get("endpoint", "")
        self.timeline.record("message", number, what)
        self.look(what)
        if message["type"] == "rpcCall":
            answer = {"type": "rpcResult", "callId": message["callId"]}
            return [{**answer, "result": _MESSAGES["model"]}]
        if message["type"] != "channelCreate":
            return []
        sent = [{"type": "channelSend", "message": each} for each in _MESSAGES["channels"][what]]
        channel = {"channelId": message["channelId"]}
        return [{**each, **channel} for each in (*sent, {"type": "channelClose"})]
