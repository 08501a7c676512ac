// "This device": subscribes this browser to web pushes, and hands the subscription to the form it stands in.
const button = document.querySelector("[data-push-key]");
const told = document.querySelector("[data-push-told]");

function bytes(text) {
  const padded = text.replace(/-/g, "+").replace(/_/g, "/");
  return Uint8Array.from(atob(padded), (sign) => sign.charCodeAt(0));
}

async function subscribe() {
  const registration = await navigator.serviceWorker.register("/push-worker.js");
  if (await Notification.requestPermission() !== "granted") throw new Error("this browser does not allow notifications");
  const ready = registration.active ? registration : await navigator.serviceWorker.ready;
  return ready.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(button.dataset.pushKey) });
}

if (button && !("serviceWorker" in navigator && "PushManager" in window)) {
  button.disabled = true;
  told.textContent = "This browser cannot take pushes. On an iPhone, add Watchbill to the home screen first.";
} else if (button) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const form = button.closest("form");
      form.elements.address.value = JSON.stringify((await subscribe()).toJSON());
      form.requestSubmit();
      told.textContent = "This device is added. Send it a test.";
    } catch (error) {
      told.textContent = `That did not work: ${error.message}`;
    } finally {
      button.disabled = false;
    }
  });
}
