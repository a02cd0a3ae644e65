namespace Forengate.Guests;

/// <summary>
/// libvirt's own event loop on a thread of ours. There is one a process; it must be there before the connection that is to hear events is opened, and once it is, it must turn for as long as there are
/// connections, so it is never ended.
/// </summary>
internal static class LibvirtEventLoop
{
    private static readonly Lock s_starting = new();
    private static bool s_started;

    /// <exception cref="GuestException">libvirt's library is missing or refuses.</exception>
    public static void Start()
    {
        lock (s_starting)
        {
            if (s_started)
                return;
            LibvirtCall.Load();
            if (LibvirtEventNative.RegisterDefaultLoop() < 0)
                throw LibvirtCall.Failure("libvirt's event loop");
            new Thread(Turn) { IsBackground = true, Name = "libvirt-events" }.Start();
            s_started = true;
        }
    }

    private static void Turn()
    {
        const int Pause = 100;
        for (; ; )
        {
            // A poll that failed is tried again, but not in a rush.
            if (LibvirtEventNative.RunDefaultLoop() < 0)
                Thread.Sleep(Pause);
        }
    }
}
