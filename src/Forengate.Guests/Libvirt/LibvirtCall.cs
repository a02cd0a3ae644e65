using System.Runtime.InteropServices;

namespace Forengate.Guests;

/// <summary>
/// One call into libvirt on a thread that may be left behind: libvirt has no time-out of its own when its daemon hangs, and keeps the last error by thread.
/// </summary>
internal static class LibvirtCall
{
    /// <summary>Calls that libvirt may hold back for 30 s because another job has the domain (its own limit) need a little more.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(40);

    private static readonly Lock s_loading = new();
    private static bool s_loaded;

    /// <exception cref="GuestException">libvirt's library is not installed.</exception>
    public static void Load()
    {
        lock (s_loading)
        {
            if (s_loaded)
                return;
            foreach (var name in (ReadOnlySpan<string>)["libvirt.so.0", "libvirt-qemu.so.0"])
            {
                if (!NativeLibrary.TryLoad(name, typeof(LibvirtCall).Assembly, DllImportSearchPath.SafeDirectories, out _))
                    throw new GuestException(GuestFailure.LibraryMissing, $"{name} can't be loaded: install libvirt's client library (Debian package libvirt0), or point at the guest with qmp:SOCKET");
            }
            if (LibvirtNative.Initialize() < 0)
                throw new GuestException(GuestFailure.Libvirt, "libvirt's library would not start (virInitialize)");
            LibvirtNative.SilenceErrors();
            s_loaded = true;
        }
    }

    /// <summary>Runs a call; waits for it as long as <paramref name="patience"/>, or <see cref="Patience"/>.</summary>
    /// <exception cref="GuestException">What the call threw, or that it did not come back.</exception>
    public static T Run<T>(string what, Func<T> call, CancellationToken ct, TimeSpan? patience = null)
    {
        // A thread of its own: a hung libvirtd must not eat the thread pool.
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = new Thread(() =>
        {
            try
            {
                done.SetResult(call());
            }
            catch (Exception e)
            {
                done.SetException(e);
            }
        })
        {
            IsBackground = true,
            Name = "libvirt",
        };
        thread.Start();
        try
        {
            var most = patience ?? Patience;
            if (!done.Task.Wait(most, ct))
                throw new GuestException(GuestFailure.Libvirt, $"libvirt did not come back from {what} within {most.TotalSeconds:0} s; is its daemon alive?");
        }
        catch (AggregateException)
        {
            // Rethrown below as it was.
        }
        return done.Task.GetAwaiter().GetResult();
    }

    /// <summary>libvirt's word for what just failed on this thread.</summary>
    public static unsafe GuestException Failure(string what)
    {
        var error = LibvirtNative.LastError();
        if (error is null)
            return new GuestException(GuestFailure.Libvirt, $"{what}: libvirt gave no reason");
        var text = Marshal.PtrToStringUTF8((nint)error->Message) ?? "no reason given";
        var failure = error->Code switch
        {
            LibvirtNative.VIR_ERR_NO_DOMAIN => GuestFailure.NotFound,
            LibvirtNative.VIR_ERR_OPERATION_INVALID => GuestFailure.NotRunning,
            LibvirtNative.VIR_ERR_AUTH_FAILED or LibvirtNative.VIR_ERR_AUTH_UNAVAILABLE or LibvirtNative.VIR_ERR_ACCESS_DENIED => GuestFailure.NoRights,
            _ => GuestFailure.Libvirt,
        };
        return new GuestException(failure, $"{what}: {text.TrimEnd()}");
    }
}
