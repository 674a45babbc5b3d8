'use strict';
// Read the emergency data of a version-1 card: node emergency.js READER
//
// Nothing here is the project's code: the card's answers go through the npm package `smartcard`,
// and the keys are derived with node's own crypto from the public test roots, as
// docs/reference/card-specification.md says (sections 1, 3 and 4). Prints one line of JSON.

const crypto = require('crypto');
const { Context, SCARD_SHARE_SHARED, SCARD_PROTOCOL_T1, SCARD_RESET_CARD } = require('smartcard');

const CIPHERS = { 1: { name: 'SM4', ecb: 'sm4-ecb' }, 2: { name: 'AES', ecb: 'aes-128-ecb' } };
const KEY = { name: 'RK1_DF02', kid: 0x84 };
const RECORDS = { abo_blood_group: 1, rh_blood_group: 2, asthma: 3, heart_disease: 4 };

function encrypt(cipher, key, data) {
  const engine = crypto.createCipheriv(cipher.ecb, key, null).setAutoPadding(false);
  return Buffer.concat([engine.update(data), engine.final()]);
}

// E_K(D || not D)
function diversify(cipher, key, data8) {
  return encrypt(cipher, key, Buffer.concat([data8, data8.map((octet) => octet ^ 0xff)]));
}

function publicTestRoot(cipher, name) {
  const text = `rhcard public test root 1 ${cipher.name} ${name}`;
  return crypto.createHash('sha256').update(text, 'ascii').digest().subarray(0, 16);
}

// The value of a one-byte tag in BER-TLV, also inside 6F and A5.
function find(objects, wanted) {
  for (let at = 0; at < objects.length; ) {
    const [tag, length] = [objects[at], objects[at + 1]];
    const value = objects.subarray(at + 2, at + 2 + length);
    if (tag === wanted) return value;
    const inside = tag === 0x6f || tag === 0xa5 ? find(value, wanted) : null;
    if (inside) return inside;
    at += 2 + length;
  }
  return null;
}

async function send(card, hex) {
  const answer = await card.transmit(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  const word = answer.subarray(-2).toString('hex');
  if (word !== '9000') throw new Error(`${hex}: the card answered ${word}`);
  return answer.subarray(0, -2);
}

async function authenticate(card, cipher, version, cardKey) {
  const challenge = await send(card, '00 84 00 00 08');
  const random = crypto.randomBytes(8);
  const processKey = diversify(cipher, cardKey, challenge);
  const block = encrypt(cipher, processKey, Buffer.concat([random, Buffer.alloc(8)]));
  const cryptogram = block.subarray(0, 8).map((octet, at) => octet ^ block[8 + at]);
  const data = Buffer.concat([cryptogram, random, Buffer.from([version])]).toString('hex');
  await send(card, `00 82 00 ${KEY.kid.toString(16)} 11 ${data}`);
}

async function emergencyData(card) {
  const chip = card.getStatus().atr.subarray(-9, -1);
  const control = await send(card, '00 A4 04 00 05 F052484301 00');
  const [spec, cipherNumber, version] = find(control, 0xc1);
  if (spec !== 0x10) throw new Error(`this program reads version-1 cards, not ${spec.toString(16)}`);
  const cipher = CIPHERS[cipherNumber];
  const regional = diversify(cipher, publicTestRoot(cipher, KEY.name), find(control, 0xc2));
  await send(card, '00 A4 08 0C 04 DDF1 DF02');
  await authenticate(card, cipher, version, diversify(cipher, regional, chip));
  await send(card, '00 A4 00 00 02 EF05');
  const fields = {};
  for (const [name, number] of Object.entries(RECORDS)) {
    const record = await send(card, `00 B2 0${number} 04 00`);
    fields[name] = record.subarray(2, 2 + record[1]).toString('hex');
  }
  return { chip: chip.toString('hex'), cipher: cipher.name, fields };
}

async function main(name) {
  const context = new Context();
  const reader = context.listReaders().find((each) => each.name === name);
  if (!reader) throw new Error(`no reader ${name}`);
  const card = await reader.connect(SCARD_SHARE_SHARED, SCARD_PROTOCOL_T1);
  try {
    console.log(JSON.stringify(await emergencyData(card)));
  } finally {
    card.disconnect(SCARD_RESET_CARD);
    context.close();
  }
}

main(process.argv[2]).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
