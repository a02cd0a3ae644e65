namespace Forengate.Guests;

/// <summary>
/// A crashed guest whose crash action is held back so that there is time for a dump: its QEMU is there and stands still. <see cref="Apply"/> lets the action happen, once.
/// </summary>
/// <remarks>Safe from several threads: the first to apply it does, others wait and get the same answer.</remarks>
public sealed class CrashHold
{
    private readonly Lock _once = new();
    private readonly Func<string?, CancellationToken, string> _apply;
    private string? _done;

    /// <param name="action">What is held back.</param>
    /// <param name="apply">Does it, given the core file that is asked for, and says in one line what was done.</param>
    public CrashHold(CrashAction action, Func<string?, CancellationToken, string> apply)
    {
        ArgumentNullException.ThrowIfNull(apply);
        Action = action;
        _apply = apply;
    }

    /// <summary>What the guest's own settings ask for.</summary>
    public CrashAction Action { get; }

    /// <summary>True once the action has been done.</summary>
    public bool IsApplied
    {
        get
        {
            lock (_once)
                return _done is not null;
        }
    }

    /// <summary>Does what the guest's settings ask for: see <see cref="CrashAction"/>. A second call does nothing and gives the first one's answer.</summary>
    /// <param name="coreFile">
    /// For the coredump actions: where libvirt is to write the ELF core that it would have written itself (its daemon opens the path). Null: none is written, because ours stands for it, and the
    /// answer says so. Of no meaning otherwise.
    /// </param>
    /// <param name="ct">Ends the waiting, not what libvirt or QEMU has begun.</param>
    /// <returns>One line: what was done.</returns>
    /// <exception cref="GuestException">It could not be done; it may be tried again. A guest that is gone by itself is no failure.</exception>
    public string Apply(string? coreFile, CancellationToken ct)
    {
        lock (_once)
            return _done ??= _apply(coreFile, ct);
    }
}
