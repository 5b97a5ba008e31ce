/**
 * A connection that carries whole messages. Adapters: WebSocket (client and server side), virtio-serial (length-prefixed
 * frames over a byte stream), simulated. Delivery is ordered while the connection lives; nothing is retried here.
 */
export interface Transport {
  /** For logs: `ws 127.0.0.1:41234`, `channel web-1`. */
  readonly peer: string;
  /** True when the peer is on this machine or a VM channel: what may speak without enrolment. */
  readonly local: boolean;
  /** What only the two ends of this connection know (TLS exporter, RFC 9266), base64url; empty where there is no TLS. */
  readonly binding?: string;
  /** True only where messages may be lost, repeated or reordered (fault injection): each is then encoded self-contained. */
  readonly lossy: boolean;
  /**
   * Hands one message over. Returns false when the outgoing buffer is above its high-water mark: stop until `onDrain`.
   * After close it returns false and does nothing.
   */
  send(message: Uint8Array): boolean;
  readonly bufferedBytes: number;
  onMessage(listener: (message: Uint8Array) => void): void;
  onDrain(listener: () => void): void;
  /** Called once, with the cause when it was not a clean close. */
  onClose(listener: (error?: Error) => void): void;
  /** Back-pressure on the peer: no message is handed to the listener until `resume`, and soon the peer cannot send either. */
  pause(): void;
  resume(): void;
  /** Delivers what was sent before it, then ends the connection; the reason is for logs on this side. */
  close(reason: string): void;
}

/** Makes a new connection; rejects with CONNECTION_CLOSED or TIMEOUT. */
export type Connect = () => Promise<Transport>;
