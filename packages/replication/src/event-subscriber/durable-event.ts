/** A delivery as the event that handlers get. */
import type { SourceEvent } from '../ports/pipeline-source.ts';
import type { DurableDelivery } from './durable-source.ts';

export type DeliveryDecoder = (delivery: DurableDelivery) => SourceEvent;

/**
 * The body is JSON. Where it is an event of a source (with `verb` and `payload`) it is taken as that, else it is the payload of one with the verb `event`.
 * The offset is the sequence; without an idempotency key of its own the message id is the key.
 */
export function decodeDelivery(delivery: DurableDelivery): SourceEvent {
  const body: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(delivery.data));
  const given = isEvent(body) ? body : undefined;
  const key = given?.idempotencyKey ?? delivery.header('Nats-Msg-Id');
  return {
    offset: delivery.sequence,
    topic: given?.topic ?? delivery.subject,
    verb: given?.verb ?? 'event',
    ...(key === undefined ? {} : { idempotencyKey: key }),
    timestamp: given?.timestamp ?? new Date(delivery.storedAt).toISOString(),
    payload: given === undefined ? body : given.payload,
    _meta: given?._meta ?? { namespace: '', source: delivery.subject },
  };
}

/** What handlers and dead letters get of a delivery that could not be decoded. */
export function undecodable(delivery: DurableDelivery): SourceEvent {
  return {
    offset: delivery.sequence,
    topic: delivery.subject,
    verb: 'undecodable',
    timestamp: new Date(delivery.storedAt).toISOString(),
    payload: { base64: Buffer.from(delivery.data).toString('base64') },
    _meta: { namespace: '', source: delivery.subject },
  };
}

type GivenEvent = Partial<Omit<SourceEvent, 'offset' | 'verb' | 'payload'>> & Pick<SourceEvent, 'verb' | 'payload'>;

function isEvent(body: unknown): body is GivenEvent {
  return (
    typeof body === 'object' && body !== null && 'payload' in body && typeof (body as GivenEvent).verb === 'string'
  );
}
