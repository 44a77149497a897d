'use strict';

// A small message centre (SMPP 3.4) for the end-to-end tests.
//
//   node smsc.js [--port 0] [--system-id octothorpe] [--password secret]
//                [--receipts text|tlv|both|none] [--stat DELIVRD] [--err 000] [--delay 20]
//                [--latency 0] [--quiet]
//
// --delay is how many milliseconds a receipt comes after the answer, --latency how many the answer
// comes after the text.
//
// It prints one JSON object a line: {"port":N} once it listens, then {"event":…} for what comes:
// "bind", "refused", "submit", "receipt" (answered, with its status), "reply" (answered, too),
// "enquire", "unbind", "closed", and "done" for a command that was taken.
// "submit" says in "answer" what it was answered with: a status, or "none".
//
// It takes commands, one JSON object a line:
//   {"reply":{"from":"…","to":"…","text":"…","coding":0|3|8,"parts":N}}   a person writes
//   {"throttle":N}      answers the next N texts with ESME_RTHROTTLED
//   {"reject":code}     answers every text with this status; 0 ends it
//   {"hang":true}       takes texts and answers nothing, not even enquire_link
//   {"receipts":{"form":"…","stat":"…","err":"…","delay":N}}
//   {"drop":true}       breaks the connections
//   {"unbind":true}     unbinds
//   {"count":true}      prints {"count":N}: how many texts were taken
//   {"quit":true}

const readline = require('node:readline');
const smpp = require('smpp');

const options = {
  port: '0',
  'system-id': 'octothorpe',
  password: 'secret',
  receipts: 'text',
  stat: 'DELIVRD',
  err: '000',
  delay: '20',
  latency: '0',
  quiet: false,
};
for (let at = 2; at < process.argv.length; at += 1) {
  const name = process.argv[at].replace(/^--/, '');
  if (!(name in options)) {
    console.error(`unknown option --${name}`);
    process.exit(2);
  }
  if (typeof options[name] === 'boolean') {
    options[name] = true;
  } else {
    at += 1;
    options[name] = process.argv[at];
  }
}

const STATES = {
  ENROUTE: 1, DELIVRD: 2, EXPIRED: 3, DELETED: 4, UNDELIV: 5, ACCEPTD: 6, UNKNOWN: 7, REJECTD: 8,
};
const receipts = {
  form: options.receipts, stat: options.stat, err: options.err, delay: Number(options.delay),
};
let hang = false;
let throttle = 0;
let reject = 0;
let taken = 0;
let reference = 0;
const bound = new Set();

function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function text(buffer, coding) {
  const octets = Buffer.from(buffer);
  if (coding === 8) return octets.swap16().toString('utf16le');
  if (coding === 3) return octets.toString('latin1');
  return smpp.encodings.ASCII.decode(octets);
}

// The octets of short_message, whatever the library made of them.
function message(pdu) {
  const { short_message: short } = pdu;
  const whole = Buffer.isBuffer(short) ? short : short.message;
  if (!(pdu.esm_class & 0x40)) return { text: text(whole, pdu.data_coding), part: null };
  const header = whole.subarray(1, whole[0] + 1);
  const [, , ref, total, number] = header;
  return { text: text(whole.subarray(whole[0] + 1), pdu.data_coding), part: { ref, total, number } };
}

function stamp() {
  return new Date().toISOString().replace(/[-T:]/g, '').slice(2, 12);
}

function receipt(session, id, pdu) {
  const { form, stat, err } = receipts;
  if (form === 'none') return;
  const deliver = {
    source_addr_ton: 1, source_addr_npi: 1, source_addr: pdu.destination_addr,
    dest_addr_ton: pdu.source_addr_ton, dest_addr_npi: pdu.source_addr_npi,
    destination_addr: pdu.source_addr,
    esm_class: 0x04, data_coding: 0, short_message: '',
  };
  if (form === 'text' || form === 'both') {
    const said = `id:${id} sub:001 dlvrd:${stat === 'DELIVRD' ? '001' : '000'} submit date:${stamp()}`
      + ` done date:${stamp()} stat:${stat} err:${err} text:`;
    deliver.short_message = { message: Buffer.from(said, 'latin1') };
  }
  if (form === 'tlv' || form === 'both') {
    deliver.receipted_message_id = id;
    deliver.message_state = STATES[stat];
  }
  session.deliver_sm(deliver, (answer) => say({ event: 'receipt', id, status: answer.command_status }));
}

function submit(session, pdu) {
  const { text: said, part } = message(pdu);
  // Another one after a restart, as the process is.
  const id = `${process.pid.toString(16)}${(taken + 1).toString(16).padStart(6, '0')}`;
  let answer = 0;
  if (hang) answer = 'none';
  else if (throttle > 0) { throttle -= 1; answer = smpp.ESME_RTHROTTLED; } else if (reject) answer = reject;
  if (!options.quiet) {
    say({
      event: 'submit', to: pdu.destination_addr, from: pdu.source_addr,
      ton: pdu.source_addr_ton, npi: pdu.source_addr_npi,
      data_coding: pdu.data_coding, esm_class: pdu.esm_class,
      registered_delivery: pdu.registered_delivery, validity_period: pdu.raw_validity,
      text: said, part, answer, id: answer === 0 ? id : null,
    });
  }
  if (answer === 'none') return;
  if (answer !== 0) {
    session.send(pdu.response({ command_status: answer }));
    return;
  }
  taken += 1;
  const accept = () => {
    session.send(pdu.response({ message_id: id }));
    if (pdu.registered_delivery & 1) setTimeout(receipt, receipts.delay, session, id, pdu);
  };
  if (options.latency === '0') accept();
  else setTimeout(accept, Number(options.latency));
}

function reply({ from, to, text: said, coding = 0, parts = 1 }) {
  const encode = (piece) => {
    if (coding === 8) return Buffer.from(piece, 'utf16le').swap16();
    if (coding === 3) return Buffer.from(piece, 'latin1');
    return smpp.encodings.ASCII.encode(piece);
  };
  const characters = Array.from(said);
  const each = Math.ceil(characters.length / parts);
  reference = (reference + 1) % 256;
  for (const session of bound) {
    for (let number = 1; number <= parts; number += 1) {
      const piece = encode(characters.slice((number - 1) * each, number * each).join(''));
      const header = parts > 1 ? Buffer.from([5, 0, 3, reference, parts, number]) : Buffer.alloc(0);
      session.deliver_sm({
        source_addr_ton: 1, source_addr_npi: 1, source_addr: from.replace(/^\+/, ''),
        dest_addr_ton: 1, dest_addr_npi: 1, destination_addr: to.replace(/^\+/, ''),
        esm_class: parts > 1 ? 0x40 : 0, data_coding: coding,
        short_message: { message: Buffer.concat([header, piece]) },
      }, (answer) => say({ event: 'reply', status: answer.command_status }));
    }
    return;
  }
}

// The library turns short_message into text, and a relative time into a date: both are wanted as
// they were written.
smpp.commands.submit_sm.params.short_message.filter = undefined;
const time = smpp.commands.submit_sm.params.validity_period;
const { filter } = time;
time.filter = {
  encode: filter.encode,
  decode(value) {
    this.raw_validity = value;
    return value;
  },
};

const server = smpp.createServer((session) => {
  const bind = (pdu) => {
    const known = pdu.system_id === options['system-id'] && pdu.password === options.password;
    if (!known) {
      say({ event: 'refused' });
      session.send(pdu.response({ command_status: smpp.ESME_RINVPASWD }));
      return;
    }
    session.send(pdu.response({ system_id: 'smsc' }));
    bound.add(session);
    say({ event: 'bind', command: pdu.command, version: pdu.interface_version });
  };
  session.on('bind_transceiver', bind);
  session.on('submit_sm', (pdu) => {
    if (bound.has(session)) submit(session, pdu);
    else session.send(pdu.response({ command_status: smpp.ESME_RINVBNDSTS }));
  });
  session.on('enquire_link', (pdu) => {
    say({ event: 'enquire' });
    if (!hang) session.send(pdu.response());
  });
  session.on('unbind', (pdu) => {
    say({ event: 'unbind' });
    session.send(pdu.response(), () => session.close());
  });
  session.on('close', () => {
    bound.delete(session);
    say({ event: 'closed' });
  });
  session.on('error', () => session.destroy());
});

const commands = {
  reply,
  throttle: (count) => { throttle = count; },
  reject: (code) => { reject = code; },
  hang: (on) => { hang = on; },
  receipts: (change) => Object.assign(receipts, change),
  drop: () => bound.forEach((session) => session.destroy()),
  unbind: () => bound.forEach((session) => session.unbind()),
  count: () => say({ count: taken }),
  quit: () => process.exit(0),
};

server.listen(Number(options.port), '127.0.0.1', () => say({ port: server.address().port }));
readline.createInterface({ input: process.stdin })
  .on('line', (line) => {
    for (const [name, value] of Object.entries(JSON.parse(line))) commands[name](value);
    say({ event: 'done' });
  })
  // Whoever started it is gone.
  .on('close', () => process.exit(0));
